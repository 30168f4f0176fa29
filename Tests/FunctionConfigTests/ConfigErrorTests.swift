import FunctionConfig
import Testing

@Suite struct ConfigErrorTests {
    /// A config, and the whole message or its beginning.
    static let bad: [(String, String)] = [
        ("function:\n  a:\n", "c.yaml:1: unknown key \"function\" at the top level; did you mean \"functions\"?"),
        ("dcf: {gatewya: a}\n", "c.yaml:1: unknown key \"gatewya\" under dcf; did you mean \"gateway\"?"),
        ("dcf:\n  gateway: \"a b\"\n", "c.yaml:2: dcf.gateway must be HOST:PORT, such as 127.0.0.1:32222, not \"a b\""),
        ("- a\n", "c.yaml:1: the config must be a mapping"),
        ("text", "c.yaml:1: the config must be a mapping"),
        ("functions: [a]\n", "c.yaml:1: functions must be a mapping, not a list"),
        ("functions:\n  Echo:\n", "c.yaml:2: function name \"Echo\" begins with \"E\""),
        ("functions:\n  a: text\n", "c.yaml:2: functions.a must be a mapping, not \"text\""),
        ("functions:\n  a:\n  a:\n", "c.yaml:2: the key \"a\" appears twice; keep one"),
        ("functions:\n  a:\n    queue: [\n", "c.yaml:4: not valid YAML: "),
        ("functions:\n\ta:\n", "c.yaml:2: not valid YAML: "),
        ("a: 1\n---\nb: 2\n", "c.yaml:2: not valid YAML: "),
        ("functions: *nothing\n", "c.yaml:1: not valid YAML: found undefined alias"),
    ]

    /// Lines under `functions.echo`, the line, and the message or its beginning.
    static let badFunction: [(String, Int, String)] = [
        ("replica: 2", 3, "unknown key \"replica\" under functions.echo; did you mean \"replicas\"?"),
        ("memory: 2G", 3, "unknown key \"memory\" under functions.echo; did you mean \"limits.memory\"?"),
        ("wibble: 2", 3, "unknown key \"wibble\" under functions.echo; known keys: runtime, desc, "),
        ("handler:\n  dri: a", 4, "unknown key \"dri\" under functions.echo.handler; did you mean \"dir\"?"),
        ("limits:\n  mem: 1G", 4, "unknown key \"mem\" under functions.echo.limits; did you mean \"memory\"?"),
        ("replicas:\n  minimum: 1", 4, "unknown key \"minimum\" under functions.echo.replicas; did you mean \"min\"?"),
        ("batch:\n  maxsize: 1", 4, "unknown key \"maxsize\" under functions.echo.batch; did you mean \"max_size\"?"),
        ("timeout:\n  cal: 1s", 4, "unknown key \"cal\" under functions.echo.timeout; did you mean \"call\"?"),
        ("runtime: pyton3", 3, "unknown runtime \"pyton3\" in functions.echo.runtime; did you mean \"python3\"?"),
        ("runtime: [python3]", 3, "functions.echo.runtime must be text, not a list"),
        ("runtime: cobol", 3, "unknown runtime \"cobol\" in functions.echo.runtime (\"dcf runtime list\""),
        ("handler: echo", 3, "functions.echo.handler must be a mapping, not \"echo\""),
        ("handler:\n  file: ../h.py", 4, "functions.echo.handler.file must be a file inside handler.dir"),
        ("handler:\n  file: /h.py", 4, "functions.echo.handler.file must be a file inside handler.dir"),
        ("handler:\n  name: 1a", 4, "functions.echo.handler.name must be the name of a Python class or function"),
        ("environment: A=1", 3, "functions.echo.environment must be a list, not \"A=1\""),
        ("environment:\n  - A=1\n  - B", 5, "functions.echo.environment[1] must be NAME=VALUE, not \"B\""),
        ("environment:\n  - 1A=1", 4, "functions.echo.environment[0] must be NAME=VALUE"),
        ("environment: [A=1, A=2]", 3, "functions.echo.environment[1]: A appears twice; keep one"),
        ("environment: [DCF_LINK=1]", 3, "functions.echo.environment[0]: DCF_LINK is set by the gateway itself"),
        ("environment: [\"A=\\0\"]", 3, "functions.echo.environment[0] contains a NUL character"),
        (
            "limits: {memory: lots}", 3,
            "functions.echo.limits.memory must be a size from 8 MiB to 16 TiB, such as 64MiB or 2G"
        ),
        ("limits: {memory: 1}", 3, "functions.echo.limits.memory must be a size from 8 MiB to 16 TiB, not \"1\""),
        ("limits: {cpu: 0}", 3, "functions.echo.limits.cpu must be a number of processors from 0.001 to 1024"),
        ("limits: {cpu: -1}", 3, "functions.echo.limits.cpu must be a number of processors from 0.001 to 1024"),
        ("limits: {gpu: all}", 3, "functions.echo.limits.gpu must be a number of devices from 0 to 64, not \"all\""),
        ("limits: {gpu: -1}", 3, "functions.echo.limits.gpu must be a number of devices from 0 to 64, not \"-1\""),
        ("limits: {gpu: 1, gpu_shared: 2}", 3, "functions.echo.limits.gpu_shared must be true or false, not \"2\""),
        ("limits: {gpu_shared: true}", 3, "functions.echo.limits: gpu_shared shares the devices of gpu"),
        (
            "limits: {gpu: 1}\nenvironment: [CUDA_VISIBLE_DEVICES=0]", 4,
            "functions.echo.environment: CUDA_VISIBLE_DEVICES is set by limits.gpu; remove one of the two"
        ),
        ("skip_build: maybe", 3, "functions.echo.skip_build must be true or false, not \"maybe\""),
        ("parameters: 5", 3, "functions.echo.parameters must be a mapping, not \"5\""),
        ("parameters:\n  a: .inf", 4, "functions.echo.parameters.a: .inf cannot be a parameter; put it in quotes"),
        ("parameters:\n  a: !!binary aGk=", 4, "functions.echo.parameters.a: the tag \"tag:yaml.org,2002:binary\""),
        ("parameters:\n  a: !!int x", 4, "functions.echo.parameters.a: the tag \"tag:yaml.org,2002:int\""),
        ("parameters:\n  ? [a]\n  : b", 4, "a key under functions.echo.parameters is not text"),
        ("parameters:\n  <<: 5", 4, "\"<<\" must merge a mapping"),
        ("replicas: -1", 3, "functions.echo.replicas must be a whole number from 1 to 1024, not \"-1\""),
        ("replicas: two", 3, "functions.echo.replicas must be a whole number from 1 to 1024, not \"two\""),
        ("replicas: 1.5", 3, "functions.echo.replicas must be a whole number from 1 to 1024"),
        ("replicas: 99999999999999999999", 3, "functions.echo.replicas must be a whole number from 1 to 1024"),
        ("replicas: 0", 3, "functions.echo.replicas must be a whole number from 1 to 1024, not \"0\""),
        ("replicas: {min: 0, max: 0}", 3, "functions.echo.replicas.max must be a whole number from 1 to 1024"),
        ("replicas: {min: -1}", 3, "functions.echo.replicas.min must be a whole number from 0 to 1024"),
        ("strategy: canary", 3, "functions.echo.strategy must be \"rolling\" or \"replace\", not \"canary\""),
        ("timeout: {idle: 0s}", 3, "functions.echo.timeout.idle must be"),
        ("timeout: {idle: soon}", 3, "functions.echo.timeout.idle must be"),
        ("replicas: {min: 3, max: 2}", 3, "functions.echo.replicas: max 2 is below min 3"),
        ("concurrency: 0", 3, "functions.echo.concurrency must be a whole number from 1 to 1024, not \"0\""),
        ("batch: {max_size: 0}", 3, "functions.echo.batch.max_size must be a whole number from 1 to 1024"),
        ("batch: {max_wait: 2m}", 3, "functions.echo.batch.max_wait must be a duration from 0s to 1m, not \"2m\""),
        ("timeout: {call: 30}", 3, "functions.echo.timeout.call: \"30\" has no unit; did you mean \"30s\"?"),
        ("timeout: {call: 0s}", 3, "functions.echo.timeout.call must be a duration from 1ms to 24h, not \"0s\""),
        ("timeout: {call: 25h}", 3, "functions.echo.timeout.call must be a duration from 1ms to 24h, not \"25h\""),
        ("timeout: {start: soon}", 3, "functions.echo.timeout.start must be a duration from 1ms to 24h, such as 500ms"),
        ("timeout: 30s", 3, "functions.echo.timeout must be a mapping, not \"30s\""),
        ("queue: 0", 3, "functions.echo.queue must be a whole number from 1 to 1000000, not \"0\""),
        ("queue: 1000001", 3, "functions.echo.queue must be a whole number from 1 to 1000000"),
        ("deploy: docker", 3, "functions.echo.deploy must be \"process\" or \"image\", not \"docker\""),
    ]

    @Test(arguments: bad)
    func refusesFile(_ text: String, saying message: String) {
        let error = #expect(throws: ConfigError.self) { try ConfigFile.parse(yaml: text, fileName: "c.yaml") }
        #expect(error?.description.hasPrefix(message) == true, "\(String(describing: error))")
    }

    @Test(arguments: badFunction)
    func refusesFunction(_ lines: String, at line: Int, saying message: String) {
        let body = lines.split(separator: "\n").map { "    \($0)\n" }.joined()
        let text = "functions:\n  echo:\n" + body
        let error = #expect(throws: ConfigError.self) { try ConfigFile.parse(yaml: text, fileName: "c.yaml") }
        #expect(error?.line == line)
        #expect(error?.message.hasPrefix(message) == true, "\(String(describing: error))")
    }

    @Test(
        arguments: [
            (
                .process, "concurrency: 2\n    batch: {max_size: 4}",
                "functions.echo.concurrency above 1 together with batch is not supported yet"
            ),
            (
                .process, "build_args: [A=1]",
                "functions.echo.build_args is for functions that are deployed as images; add"
            ),
            (
                .process, "build_packages: [libgl1]",
                "functions.echo.build_packages is for functions that are deployed as images"
            ),
            (.process, "skip_build: true", "functions.echo.skip_build is for functions that are deployed as images"),
            (.process, "secrets: [key]", "functions.echo.secrets is for functions that are deployed as images"),
            (.image, "preload: [numpy]", "functions.echo.preload is for functions that run as processes; remove it"),
            (
                .image, "python: \"3.10\"",
                "functions.echo.python is for functions that run as processes; remove it: the image"
            ),
        ] as [(DeployKind, String, String)])
    func namesUnsupportedKeys(as kind: DeployKind, _ key: String, saying message: String) throws {
        let text = "functions:\n  echo:\n    desc: x\n    \(key)\n"
        let echo = try #require(try ConfigFile.parse(yaml: text, fileName: "c.yaml").functions.first)
        let error = #expect(throws: ConfigError.self) { try echo.requireSupported(as: kind) }
        #expect(error?.description.hasPrefix("c.yaml:4: \(message)") == true, "\(String(describing: error))")
    }

    @Test(arguments: [
        "concurrency: 4", "batch: {max_size: 4}", "replicas: 3", "replicas: {min: 2, max: 2}",
        "replicas: {min: 0, max: 4}", "timeout: {idle: 5m}", "strategy: replace", "limits: {gpu: 0}",
        "limits: {gpu: 1}",
        "limits: {gpu: \"2\", gpu_shared: true}", "deploy: process", "deploy: image",
    ])
    func lets(_ key: String) throws {
        let text = "functions:\n  echo:\n    \(key)\n"
        let echo = try #require(try ConfigFile.parse(yaml: text, fileName: "c.yaml").functions.first)
        try echo.requireSupported(as: .process)
    }

    @Test func bombsAreRefused() throws {
        var text = "functions:\n  echo:\n    parameters:\n      a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let items = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "      a\(level): &a\(level) [\(items)]\n"
        }
        let error = #expect(throws: ConfigError.self) { try ConfigFile.parse(yaml: text, fileName: "c") }
        #expect(error?.message.contains("more than 100000 values") == true)

        let deep = String(repeating: "[", count: 900) + String(repeating: "]", count: 900)
        let nested = "functions: {echo: {parameters: {a: \(deep)}}}"
        let depth = #expect(throws: ConfigError.self) { try ConfigFile.parse(yaml: nested, fileName: "c") }
        #expect(depth?.message.contains("more than 100 levels deep") == true)

        let long = "# " + String(repeating: "x", count: 1 << 20)
        let size = #expect(throws: ConfigError.self) { try ConfigFile.parse(yaml: long, fileName: "c") }
        #expect(size?.message.contains("at most 1 MiB") == true)
    }

    @Test func aFaultFoundLaterNamesItsLine() throws {
        let text = "functions:\n  echo:\n    handler:\n      dir: nowhere\n"
        let echo = try #require(try ConfigFile.parse(yaml: text, fileName: "c.yaml").functions.first)
        #expect(echo.failure(at: "handler.dir", "gone").description == "c.yaml:4: gone")
        #expect(echo.failure(at: "handler.file", "gone").description == "c.yaml:3: gone")
        #expect(echo.failure(at: "python", "gone").description == "c.yaml:2: gone")
    }
}
