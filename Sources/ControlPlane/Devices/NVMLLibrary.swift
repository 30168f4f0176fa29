import Glibc

/// The driver's own library. It is opened for each look at the devices, and closed again.
package enum NVMLLibrary {
    /// The library could not be opened, or a call of it failed.
    package struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
        package let description: String
    }

    /// The name by which the loader finds the library.
    package static let defaultPath = "libnvidia-ml.so.1"

    /// The devices of the host. Blocks, for seconds when the driver has to wake them.
    ///
    /// A device in parts (MIG) is listed as its parts. A device that does not answer is left out.
    package static func devices(path: String = defaultPath) throws(Failure) -> [GPUDevice] {
        guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            throw Failure(description: dlerror().map { String(cString: $0) } ?? "\(path) cannot be opened")
        }
        defer { dlclose(library) }
        let calls = try Calls(library, path)
        try calls.check(calls.start(), "nvmlInit")
        defer { _ = calls.shutDown() }
        var count: UInt32 = 0
        try calls.check(calls.count(&count), "nvmlDeviceGetCount")
        return (0..<count).flatMap { index -> [GPUDevice] in
            var handle: Handle?
            guard calls.handle(index, &handle) == 0, let handle else { return [] }
            if calls.isInParts(handle) { return parts(of: handle, index, calls) }
            return calls.device(handle, number: "\(index)", isPart: false).map { [$0] } ?? []
        }
    }

    private static func parts(of handle: Handle, _ index: UInt32, _ calls: Calls) -> [GPUDevice] {
        var most: UInt32 = 0
        guard let partsMax = calls.partsMax, let part = calls.part, partsMax(handle, &most) == 0 else { return [] }
        return (0..<most).compactMap { number in
            var partHandle: Handle?
            guard part(handle, number, &partHandle) == 0, let partHandle else { return nil }
            return calls.device(partHandle, number: "\(index):\(number)", isPart: true)
        }
    }

    private typealias Handle = OpaquePointer

    /// The library's functions that are used here. The optional ones are missing in some drivers.
    private struct Calls {
        typealias Plain = @convention(c) () -> Int32
        typealias Count = @convention(c) (UnsafeMutablePointer<UInt32>) -> Int32
        typealias ByIndex = @convention(c) (UInt32, UnsafeMutablePointer<OpaquePointer?>) -> Int32
        typealias Text = @convention(c) (OpaquePointer, UnsafeMutablePointer<CChar>, UInt32) -> Int32
        /// Total, free and used, in bytes.
        typealias Memory = @convention(c) (OpaquePointer, UnsafeMutablePointer<UInt64>) -> Int32
        typealias Mode =
            @convention(c) (OpaquePointer, UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<UInt32>) -> Int32
        typealias PartsMax = @convention(c) (OpaquePointer, UnsafeMutablePointer<UInt32>) -> Int32
        typealias Part = @convention(c) (OpaquePointer, UInt32, UnsafeMutablePointer<OpaquePointer?>) -> Int32
        typealias ErrorText = @convention(c) (Int32) -> UnsafePointer<CChar>?

        let start: Plain
        let shutDown: Plain
        let count: Count
        let handle: ByIndex
        let uuid: Text
        let name: Text?
        let memory: Memory?
        let mode: Mode?
        let partsMax: PartsMax?
        let part: Part?
        let errorText: ErrorText?

        init(_ library: UnsafeMutableRawPointer, _ path: String) throws(Failure) {
            start = try Self.needed("nvmlInit_v2", library, path)
            shutDown = try Self.needed("nvmlShutdown", library, path)
            count = try Self.needed("nvmlDeviceGetCount_v2", library, path)
            handle = try Self.needed("nvmlDeviceGetHandleByIndex_v2", library, path)
            uuid = try Self.needed("nvmlDeviceGetUUID", library, path)
            name = Self.find("nvmlDeviceGetName", library)
            memory = Self.find("nvmlDeviceGetMemoryInfo", library)
            mode = Self.find("nvmlDeviceGetMigMode", library)
            partsMax = Self.find("nvmlDeviceGetMaxMigDeviceCount", library)
            part = Self.find("nvmlDeviceGetMigDeviceHandleByIndex", library)
            errorText = Self.find("nvmlErrorString", library)
        }

        private static func find<Function>(_ name: String, _ library: UnsafeMutableRawPointer) -> Function? {
            dlsym(library, name).map { unsafeBitCast($0, to: Function.self) }
        }

        private static func needed<Function>(
            _ name: String, _ library: UnsafeMutableRawPointer, _ path: String
        ) throws(Failure) -> Function {
            guard let function: Function = find(name, library) else {
                throw Failure(description: "\(path) has no \(name): the driver is too old")
            }
            return function
        }

        func check(_ status: Int32, _ what: String) throws(Failure) {
            guard status != 0 else { return }
            let text = errorText?(status).map { String(cString: $0) } ?? "error \(status)"
            throw Failure(description: "\(what): \(text)")
        }

        func isInParts(_ handle: Handle) -> Bool {
            var (current, pending): (UInt32, UInt32) = (0, 0)
            guard let mode, mode(handle, &current, &pending) == 0 else { return false }
            return current == 1
        }

        func device(_ handle: Handle, number: String, isPart: Bool) -> GPUDevice? {
            guard let uuid = text(uuid, handle), !uuid.isEmpty else { return nil }
            var bytes: [UInt64] = [0, 0, 0]
            let hasMemory = memory?(handle, &bytes) == 0
            return GPUDevice(
                uuid: uuid, number: number, name: name.flatMap { text($0, handle) } ?? "",
                memory: hasMemory ? bytes[0] : 0, isPart: isPart)
        }

        private func text(_ function: Text, _ handle: Handle) -> String? {
            // Names and UUIDs have 96 bytes at most.
            var buffer = [CChar](repeating: 0, count: 256)
            guard function(handle, &buffer, UInt32(buffer.count)) == 0 else { return nil }
            return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
