import FunctionConfig
import Testing

@Suite struct ConfigFileTests {
    static let everything = """
        # The whole schema.
        dcf:
          gateway: 10.0.0.1:1234
        functions:
          second:
            runtime: python
          echo:
            runtime: python3
            desc: "Says it again: twice"
            maintainer: someone
            handler:
              dir: ./code
              file: main.py
              name: Echo
            image: registry/echo
            docker_registry: registry
            environment:
              - A=1
              - B=x=y
              - "C="
            limits: {memory: 2G, cpu: 0.5, gpu: 1, gpu_shared: true}
            build_args:
              - PYTHON_VERSION=3.12
            build_packages: [libgl1]
            skip_build: true
            parameters:
              threshold: 0.5
            python: 3.10
            replicas: {min: 1, max: 3}
            concurrency: 2
            batch: {max_size: 16, max_wait: 10ms, retry: false}
            timeout: {build: 5m, start: 2m, call: 500ms, idle: 1h}
            queue: 10
            deploy: image

        """

    @Test func readsEveryKey() throws {
        let file = try ConfigFile.parse(yaml: Self.everything, fileName: "config.yaml")
        #expect(file.gateway == "10.0.0.1:1234")
        #expect(file.functions.map(\.name.text) == ["second", "echo"])
        let echo = try #require(file.function(named: "echo"))
        #expect(echo.runtime == .python3)
        #expect(echo.description == "Says it again: twice")
        #expect(echo.maintainer == "someone")
        #expect(echo.handler.directory == "./code")
        #expect(echo.handler.file == "main.py")
        #expect(echo.handler.name == "Echo")
        #expect(echo.image == "registry/echo")
        #expect(echo.dockerRegistry == "registry")
        #expect(echo.environment.map(\.name) == ["A", "B", "C"])
        #expect(echo.environment.map(\.value) == ["1", "x=y", ""])
        #expect(echo.limits.memory == 2 << 30)
        #expect(echo.limits.cpu == 0.5)
        #expect(echo.limits.gpu == 1)
        #expect(echo.limits.gpuShared)
        #expect(echo.buildArguments == [EnvironmentVariable(name: "PYTHON_VERSION", value: "3.12")])
        #expect(echo.buildPackages == ["libgl1"])
        #expect(echo.skipBuild)
        #expect(echo.parameters == #"{"threshold":0.5}"#)
        #expect(echo.python == "3.10")
        #expect(echo.replicas == ReplicaRange(min: 1, max: 3))
        #expect(echo.concurrency == 2)
        #expect(echo.batch?.sizeMax == 16)
        #expect(echo.batch?.waitMax == .milliseconds(10))
        #expect(echo.batch?.retry == false)
        #expect(echo.timeout.build == .seconds(300))
        #expect(echo.timeout.start == .seconds(120))
        #expect(echo.timeout.call == .milliseconds(500))
        #expect(echo.timeout.idle == .seconds(3_600))
        #expect(echo.queue == 10)
        #expect(echo.kind == .image)
    }

    @Test func fillsInDefaults() throws {
        let file = try ConfigFile.parse(yaml: "functions:\n  echo:\n", fileName: "config.yaml")
        let echo = try #require(file.functions.first)
        #expect(file.gateway == nil)
        #expect(echo.runtime == .python3)
        #expect(echo.handler.directory == "echo")
        #expect(echo.handler.file == "handler.py")
        #expect(echo.handler.name == "Handler")
        #expect(echo.parameters == "{}")
        #expect(echo.python == nil)
        #expect(echo.replicas == ReplicaRange(min: 1, max: 1))
        #expect(echo.concurrency == 1)
        #expect(echo.timeout == TimeoutConfig())
        #expect(echo.timeout.idle == nil)
        #expect(echo.queue == nil)
        #expect(echo.kind == nil)
        #expect(echo.unsupportedKeys(as: .process).isEmpty)
        #expect(echo.yaml == "{}\n")
    }

    /// The original's `init` writes keys without values.
    @Test func emptyValuesKeepTheDefaults() throws {
        let text = """
            functions:
              echo:
                runtime: python
                desc: ""
                maintainer:
                handler:
                  dir: ./echo
                  file: ""
                  name: Handler
                image: keti.asuscomm.com:5001/echo
                environment:
                limits: {memory: "", cpu: "", gpu: ""}
                build_args: []
                build_packages:
                skip_build: false
                parameters:

            """
        let echo = try #require(try ConfigFile.parse(yaml: text, fileName: "c").functions.first)
        #expect(echo.handler.file == "handler.py")
        #expect(echo.limits == LimitsConfig())
        #expect(echo.parameters == "{}")
        #expect(echo.unsupportedKeys(as: .process).isEmpty)
    }

    @Test(arguments: ["", "\n", "# nothing\n", "functions:\n", "functions: {}\n", "dcf:\n", "---\n"])
    func noFunctions(_ text: String) throws {
        #expect(try ConfigFile.parse(yaml: text, fileName: "c").functions.isEmpty)
    }

    @Test func mergesAndAnchors() throws {
        let text = """
            functions:
              one: &base
                desc: first
                queue: 5
                timeout: &slow {call: 5m}
              two:
                <<: *base
                queue: 7
              three:
                timeout: *slow
            """
        let file = try ConfigFile.parse(yaml: text, fileName: "c")
        let two = try #require(file.function(named: "two"))
        #expect(two.description == "first")
        #expect(two.queue == 7)
        #expect(two.timeout.call == .seconds(300))
        #expect(file.function(named: "three")?.timeout.call == .seconds(300))
        #expect(!two.yaml.contains("<<"))
        #expect(try FunctionConfig.parse(yaml: two.yaml, name: two.name).timeout.call == .seconds(300))
    }

    @Test func replicasAsANumber() throws {
        func replicas(_ value: String) throws -> ReplicaRange? {
            try ConfigFile.parse(yaml: "functions: {a: {replicas: \(value)}}", fileName: "c").functions.first?.replicas
        }
        #expect(try replicas("3") == ReplicaRange(min: 3, max: 3))
        #expect(try replicas("{min: 2}") == ReplicaRange(min: 2, max: 2))
        #expect(try replicas("{max: 4}") == ReplicaRange(min: 1, max: 4))
        #expect(try replicas("{min: 0}") == ReplicaRange(min: 0, max: 1))
    }

    @Test func theGatewayReadsWhatTheClientWrites() throws {
        let file = try ConfigFile.parse(yaml: Self.everything, fileName: "config.yaml")
        for function in file.functions {
            var read = try FunctionConfig.parse(yaml: function.yaml, name: function.name, fileName: function.fileName)
            #expect(read.yaml == function.yaml)
            #expect(read.parameters == function.parameters)
            #expect(read.environment == function.environment)
            #expect(read.timeout == function.timeout)
            #expect(read.python == "3.10" || function.python == nil)
            read.name = function.name
            #expect(
                read.unsupportedKeys(as: .process).map(\.key) == function.unsupportedKeys(as: .process).map(\.key))
        }
    }

    @Test func oneConfigServesBothKinds() throws {
        let yaml = "runtime: python3\nbuild_args: [A=1]\nbuild_packages: [libgl1, curl]\ntimeout: {call: 5s}\n"
        let function = try FunctionConfig.parse(yaml: yaml, name: try FunctionName("f"))
        #expect(!function.unsupportedKeys(as: .process).isEmpty)
        let (process, ignored) = function.asProcess()
        #expect(ignored == ["functions.f.build_args", "functions.f.build_packages"])
        #expect(process.unsupportedKeys(as: .process).isEmpty)
        let sent = try FunctionConfig.parse(yaml: process.yaml, name: try FunctionName("f"))
        #expect(sent.buildPackages == [] && sent.buildArguments == [] && sent.timeout.call == .seconds(5))
        // With the key `deploy`, keys of the other kind are an error.
        let said = try FunctionConfig.parse(yaml: yaml + "deploy: process\n", name: try FunctionName("f"))
        #expect(said.asProcess().ignored == [] && !said.asProcess().function.unsupportedKeys(as: .process).isEmpty)
        let only = try FunctionConfig.parse(yaml: "build_packages: [curl]\n", name: try FunctionName("f"))
        #expect(
            try FunctionConfig.parse(yaml: only.asProcess().function.yaml, name: try FunctionName("f")).replicas.max
                == 1)
    }

    @Test func anotherPythonIsWrittenToo() throws {
        let file = try ConfigFile.parse(yaml: Self.everything, fileName: "config.yaml")
        let changed = try #require(file.function(named: "echo")).withPython("/a b/venv")
        let read = try FunctionConfig.parse(yaml: changed.yaml, name: changed.name)
        #expect(read.python == "/a b/venv")
        #expect(read.queue == changed.queue)
    }
}
