internal import FunctionConfig
internal import GatewayProtocol
internal import SwiftProtobuf

/// The description of everything that HTTP answers, in OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1.html).
enum OpenAPIDocument {
    /// - Parameter functions: those that are deployed, each with a path of its own.
    static func make(_ functions: [Pb_Function]) throws -> JSONValue {
        var paths = management
        paths["/healthz"] = [
            "get": operation(
                "Whether the gateway takes calls", id: "health", tag: "gateway",
                responses: ["200": text("It does."), "503": text("It shuts down, or is stuck.")])
        ]
        for function in functions { paths["/function/\(function.name)"] = ["post": call(function)] }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "DCF", "version": .string(Release.version),
                "description":
                    "A gateway for functions: models behind Python classes. Each deployed function has a path below /function.",
            ],
            "tags": [
                ["name": "functions", "description": "Calls of the deployed functions"],
                ["name": "management", "description": "The operations of the command line dcf"],
                ["name": "gateway"],
            ],
            "paths": .object(paths),
            "components": [
                "schemas": .object(try MessageSchemas.all().merging(["Failure": failure, "LogLine": logLine]) { $1 })
            ],
        ]
    }

    // MARK: Calls

    private static func call(_ function: Pb_Function) -> JSONValue {
        let about = function.description_p.isEmpty ? "Calls the function \(function.name)" : function.description_p
        return [
            "tags": ["functions"], "operationId": .string("call-\(function.name)"), "summary": .string(about),
            "parameters": [
                [
                    "name": "X-Timeout", "in": "header", "description": "How long the caller waits: 500ms, 5s, 2m.",
                    "schema": ["type": "string"],
                ],
                [
                    "name": "X-Request-Id", "in": "header", "description": "Comes back, and stands in the log.",
                    "schema": ["type": "string", "minLength": 1, "maxLength": 128],
                ],
            ],
            "requestBody": ["description": "The handler's input: any bytes.", "content": anyContent],
            "responses": [
                "200": [
                    "description": "The handler's reply; in pieces where the handler yields.",
                    "content": ["*/*": [:], "text/event-stream": ["schema": ["type": "string"]]],
                ],
                "400": text("A header does not parse, or the handler refused the input."),
                "413": text("The body is too large."),
                "429": text("Too many calls wait."),
                "500": text("The handler raised: its words, and where."),
                "503": text("The function has failed, or the gateway shuts down."),
                "504": text("The deadline has passed."),
            ],
        ]
    }

    private static var anyContent: JSONValue { ["*/*": [:]] }

    // MARK: Management

    private static var management: [String: JSONValue] {
        [
            "/api/v1/info": ["get": managed("What the gateway tells about itself", id: "info", gives: "Message")],
            "/api/v1/functions": [
                "get": managed("Lists the functions", id: "list", gives: "Functions"),
                "post": managed(
                    "Deploys a function", id: "deploy", takes: "CreateFunctionRequest", gives: "Message",
                    lines: "DeployEvent"),
            ],
            "/api/v1/functions/{name}": [
                "parameters": name,
                "get": managed("Shows a function", id: "get", gives: "Function"),
                "put": managed(
                    "Updates a function that exists", id: "update", takes: "CreateFunctionRequest", gives: "Message"),
                "delete": managed("Deletes a function", id: "delete", gives: "Message"),
            ],
            "/api/v1/functions/{name}/replicas": [
                "parameters": name,
                "put": managed(
                    "Sets the number of replicas", id: "scale", takes: "ScaleServiceRequest", gives: "Message"),
            ],
            "/api/v1/functions/{name}/traffic": [
                "parameters": name,
                "put": managed(
                    "Splits the calls between versions", id: "traffic", takes: "TrafficRequest", gives: "Message"),
            ],
            "/api/v1/functions/{name}/versions": [
                "parameters": name,
                "get": managed("Lists the kept versions", id: "versions", gives: "FunctionVersions"),
            ],
            "/api/v1/functions/{name}/rollback": [
                "parameters": name,
                "post": managed(
                    "Sends all calls to an earlier version", id: "rollback", takes: "RollbackRequest", gives: "Message"),
            ],
            "/api/v1/functions/{name}/restart": [
                "parameters": name,
                "post": managed("Restarts the replicas", id: "restart", gives: "Message"),
            ],
            "/api/v1/functions/{name}/log": [
                "parameters": name,
                "get": [
                    "tags": ["management"], "operationId": "log", "summary": "Reads the log",
                    "parameters": [
                        [
                            "name": "tail", "in": "query", "description": "How many of the last lines.",
                            "schema": ["type": "integer", "minimum": 0],
                        ],
                        [
                            "name": "follow", "in": "query", "description": "Go on with new lines.",
                            "schema": ["type": "boolean"],
                        ],
                        [
                            "name": "request", "in": "query", "description": "Only lines of this request.",
                            "schema": ["type": "string"],
                        ],
                    ],
                    "responses": [
                        "200": [
                            "description": "A line of JSON for each line of the log.",
                            "content": [
                                "application/x-ndjson": ["schema": MessageSchemas.reference("LogLine")]
                            ],
                        ], "default": failed,
                    ],
                ],
            ],
            "/api/v1/bundles/{sha256}": [
                "parameters": [
                    [
                        "name": "sha256", "in": "path", "required": true, "description": "The bundle's SHA-256.",
                        "schema": ["type": "string", "pattern": "^[0-9a-f]{64}$"],
                    ]
                ],
                "put": [
                    "tags": ["management"], "operationId": "upload", "summary": "Sends a bundle",
                    "requestBody": [
                        "required": true, "description": "The folder of a function, packed by tar.",
                        "content": ["application/x-tar": [:]],
                    ],
                    "responses": [
                        "200": content("The gateway has it already.", "UploadReply"),
                        "201": content("It is stored.", "UploadReply"), "default": failed,
                    ],
                ],
            ],
        ]
    }

    private static var name: JSONValue {
        [["name": "name", "in": "path", "required": true, "schema": ["type": "string"]]]
    }

    private static func managed(
        _ summary: String, id: String, takes request: String? = nil, gives response: String, lines: String? = nil
    ) -> JSONValue {
        var types: [String: JSONValue] = ["application/json": ["schema": MessageSchemas.reference(response)]]
        if let lines { types["application/x-ndjson"] = ["schema": MessageSchemas.reference(lines)] }
        return operation(
            summary, id: id, tag: "management",
            body: request.map { ["content": ["application/json": ["schema": MessageSchemas.reference($0)]]] },
            responses: ["200": ["description": "Done.", "content": .object(types)], "default": failed])
    }

    // MARK: Parts

    private static func operation(
        _ summary: String, id: String, tag: String, body: JSONValue? = nil, responses: JSONValue
    ) -> JSONValue {
        var operation: [String: JSONValue] = [
            "tags": .array([.string(tag)]), "operationId": .string(id), "summary": .string(summary),
            "responses": responses,
        ]
        if let body { operation["requestBody"] = body }
        return .object(operation)
    }

    private static func content(_ description: String, _ schema: String) -> JSONValue {
        [
            "description": .string(description),
            "content": ["application/json": ["schema": MessageSchemas.reference(schema)]],
        ]
    }

    private static func text(_ description: String) -> JSONValue {
        ["description": .string(description), "content": ["text/plain": ["schema": ["type": "string"]]]]
    }

    private static var failed: JSONValue { content("It failed.", "Failure") }

    private static var failure: JSONValue {
        [
            "type": "object",
            "properties": [
                "error": [
                    "type": "object",
                    "properties": [
                        "code": ["type": "string", "description": "One of the canonical codes, such as NOT_FOUND."],
                        "executed": ["type": "string", "enum": ["no", "maybe", "yes"]],
                        "message": ["type": "string"],
                    ],
                ]
            ],
        ]
    }

    private static var logLine: JSONValue {
        [
            "type": "object",
            "properties": [
                "time": ["type": "string", "format": "date-time"], "replica": ["type": "integer"],
                "stream": ["type": "string", "enum": ["stdout", "stderr", "gateway"]],
                "request": ["type": "string"], "text": ["type": "string"],
            ],
        ]
    }
}
