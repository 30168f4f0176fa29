@testable import ControlPlane
import Engine
import Synchronization
import Testing

/// A gateway that runs in a container.
@Suite struct EnginePathsTests {
    private static let id = String(repeating: "0123456789abcdef", count: 4)

    let engine = FakeContainerEngine()

    @Test func outsideOfAContainerPathsAreWhatTheyAre() async throws {
        #expect(try await EnginePaths(own: nil).seen("/var/lib/dcf/run", by: engine) == "/var/lib/dcf/run")
    }

    @Test func aVolumeIsKnownByItsPlaceOnTheMachine() async throws {
        engine.state.withLock {
            $0.mounts = [
                ContainerMount(source: "/var/run/docker.sock", target: "/var/run/docker.sock"),
                ContainerMount(source: "/var/lib/docker/volumes/dcf/_data", target: "/var/lib/dcf"),
                ContainerMount(source: "/srv/secrets", target: "/var/lib/dcf/secrets"),
            ]
        }
        let paths = EnginePaths(own: Self.id)
        #expect(
            try await paths.seen("/var/lib/dcf/run/docker", by: engine)
                == "/var/lib/docker/volumes/dcf/_data/run/docker")
        #expect(try await paths.seen("/var/lib/dcf/secrets/a", by: engine) == "/srv/secrets/a")
        await #expect {
            _ = try await paths.seen("/var/lib/dcf2", by: engine)
        } throws: { "\($0)".contains("/var/lib/dcf2") && "\($0)".contains("-v dcf:/var/lib/dcf") }
    }

    @Test func anEngineThatDoesNotKnowTheContainerSeesWhatItSees() async throws {
        #expect(try await EnginePaths(own: Self.id).seen("/data/run", by: engine) == "/data/run")
    }

    @Test(arguments: [
        ("711 697 254:1 /var/lib/docker/containers/ID/hostname /etc/hostname rw - ext4 /dev/vda1 rw", true),
        ("711 697 0:51 /overlay-containers/ID/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw", true),
        ("711 697 254:1 /var/lib/docker/containers/short/hostname /etc/hostname rw - ext4 /dev/vda1 rw", false),
        ("", false),
    ])
    func itsOwnIdIsInItsMounts(line: String, isThere: Bool) {
        let text = "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n" + line.replacing("ID", with: Self.id) + "\n"
        #expect(OwnContainer.id(inMounts: text) == (isThere ? Self.id : nil))
    }
}
