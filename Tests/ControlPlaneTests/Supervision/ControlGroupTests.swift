@testable import ControlPlane
import ProcessTree
import Testing

@Suite struct ControlGroupTests {
    private let unified = """
        23 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
        31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
        """
    private let hybrid = """
        32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw
        """

    @Test func theOwnGroupIsFound() {
        let service = "0::/system.slice/dcf-gateway.service\n"
        #expect(
            ControlGroup.path(groups: service, mounts: unified) == "/sys/fs/cgroup/system.slice/dcf-gateway.service")
        #expect(
            ControlGroup.path(groups: "9:name=systemd:/a\n0::/b\n", mounts: hybrid) == "/sys/fs/cgroup/unified/b")
        #expect(ControlGroup.path(groups: "0::/\n", mounts: unified) == "/sys/fs/cgroup")
    }

    @Test func aPartOfTheTreeThatIsMountedIsNamedFromThere() {
        let mounts = "31 23 0:28 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"
        #expect(ControlGroup.path(groups: "0::/docker/1/in\n", mounts: mounts) == "/sys/fs/cgroup/in")
        #expect(ControlGroup.path(groups: "0::/docker/1\n", mounts: mounts) == "/sys/fs/cgroup")
        #expect(ControlGroup.path(groups: "0::/docker/12\n", mounts: mounts) == nil)
    }

    @Test(arguments: ["", "4:memory:/a\n"])
    func whereThereIsNoneThereIsNone(groups: String) {
        #expect(ControlGroup.path(groups: groups, mounts: unified) == nil)
        #expect(ControlGroup.path(groups: "0::/a\n", mounts: "") == nil)
    }
}
