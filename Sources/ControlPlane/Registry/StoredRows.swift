import Calls
import FunctionConfig
import GRDB

/// Reads rows of the registry. From a row that cannot be used it takes what can be read, and adds a problem to the
/// function or version.
enum StoredRows {
    /// Reads all functions.
    ///
    /// - Parameter unnamed: gets a sentence for each row that names no function. Such a row can be shown nowhere else.
    static func functions(_ functions: [Row], versions: [Row], unnamed: (String) -> Void) -> [StoredFunction] {
        var stored: [String: StoredFunction] = [:]
        for row in functions {
            guard let name = RowValues(row).text("name") else {
                unnamed("a row of its table \"function\" has no name, and is left out")
                continue
            }
            stored[name] = function(row, name)
        }
        for row in versions {
            guard let name = RowValues(row).text("name") else {
                unnamed("a row of its table \"version\" has no name, and is left out")
                continue
            }
            let (record, problem) = version(row, name)
            var function =
                stored[name]
                ?? StoredFunction(
                    FunctionRecord(name: name, createdAt: record.createdAt, updatedAt: record.createdAt), versions: [])
            add(record, problem, to: &function)
            stored[name] = function
        }
        return stored.values.sorted { $0.function.name < $1.function.name }.map { completed($0) }
    }

    private static func add(_ record: VersionRecord, _ problem: String?, to function: inout StoredFunction) {
        if let index = function.versions.firstIndex(where: { $0.version == record.version }) {
            // Two rows have the same number. The right one cannot be known.
            function.versionProblems[record.version] = problem ?? "there are two rows of it"
            function.versions[index].traffic = max(function.versions[index].traffic, record.traffic)
            return
        }
        function.versions.append(record)
        if let problem { function.versionProblems[record.version] = problem }
    }

    /// Sorts the versions. A function without versions gets a stand-in, which shows what is wrong.
    private static func completed(_ function: StoredFunction) -> StoredFunction {
        var function = function
        function.versions.sort { $0.version < $1.version }
        if function.versions.isEmpty {
            function.problem = function.problem ?? "the registry has no version of it"
            function.versions = [
                VersionRecord(
                    name: function.function.name, version: 0, config: "", bundle: "",
                    replicas: ReplicaRange(min: 1, max: 1), traffic: 100, createdAt: function.function.createdAt)
            ]
        }
        if function.problem == nil, !function.versions.contains(where: { $0.traffic > 0 }) {
            function.problem = "no version of it gets its calls"
        }
        return function
    }

    private static func function(_ row: Row, _ name: String) -> StoredFunction {
        var values = RowValues(row)
        let invocations = values.integer("invocations", in: 0...(.max), else: 0)
        let createdAt = values.integer("createdAt", in: (.min)...(.max), else: LogTime.now())
        let updatedAt = values.integer("updatedAt", in: (.min)...(.max), else: createdAt)
        var stored = StoredFunction(
            FunctionRecord(
                name: name, invocations: UInt64(invocations), createdAt: createdAt, updatedAt: updatedAt), versions: [])
        if !values.problems.isEmpty { stored.problem = "in its row " + values.problems.joined(separator: ", and ") }
        return stored
    }

    private static func version(_ row: Row, _ name: String) -> (VersionRecord, String?) {
        var values = RowValues(row)
        let version = values.integer("version", in: 1...Int64(Int32.max), else: 0)
        let most = Int64(FunctionPlanner.replicasMax)
        let replicasMax = values.integer("replicasMax", in: 1...most, else: 1)
        let replicasMin = values.integer("replicasMin", in: 0...replicasMax, else: min(1, replicasMax))
        let traffic = values.integer("traffic", in: 0...100, else: 0)
        let kind = DeployKind(rawValue: values.text("deploy", else: ""))
        if kind == nil, values.text("deploy") != nil { values.note("deploy", "process or image") }
        let bundle = values.text("bundle", else: "")
        if kind == .process, values.text("bundle") != nil, !BundleStore.isName(bundle) {
            values.note("bundle", "a SHA-256")
        }
        var record = VersionRecord(
            name: name, version: Int(values.integer("version") == version ? version : 0), kind: kind ?? .process,
            image: values.text("image", else: ""), secrets: values.json("secrets", else: []),
            constraints: values.json("constraints", else: []), config: values.text("config", else: ""), bundle: bundle,
            labels: values.json("labels", else: [:]), annotations: values.json("annotations", else: [:]),
            environment: values.json("environment", else: [:]),
            replicas: ReplicaRange(min: Int(replicasMin), max: Int(replicasMax)), traffic: Int(traffic),
            createdAt: values.integer("createdAt", in: (.min)...(.max), else: 0))
        record.imageID = values.text("imageID", else: "")
        record.imageUser = values.text("imageUser", else: "")
        record.imageVariables = values.json("imageVariables", else: [])
        record.imageReference = values.text("imageReference", else: "")
        record.imageArchitecture = values.text("imageArchitecture", else: "")
        if values.text("config") != nil, let problem = problem(ofConfig: record.config, name) {
            values.note("config cannot be used: \(problem)")
        }
        if values.problems.isEmpty {
            // Columns that later releases added are read by the record type itself.
            do { return (try VersionRecord(row: row), nil) } catch {
                return (record, "its row cannot be read: \(error)")
            }
        }
        return (record, "in its row " + values.problems.joined(separator: ", and "))
    }

    private static func problem(ofConfig yaml: String, _ name: String) -> String? {
        do throws(FunctionError) {
            let name = try FunctionPlanner.name(name)
            do throws(ConfigError) { _ = try FunctionConfig.parse(yaml: yaml, name: name) } catch {
                throw .badConfig(error)
            }
            return nil
        } catch { return error.failure.message }
    }
}
