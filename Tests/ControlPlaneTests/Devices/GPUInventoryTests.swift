@testable import ControlPlane
import FunctionConfig
import Logging
import TestSupport
import Testing

@Suite struct GPUInventoryTests {
    private static let two = "GPU-aaaa,Stand-in One,81559\nGPU-bbbb,Stand-in Two,81559\n"

    @Test func nvmlTellsTheDevices() async throws {
        let nvml = try await StandInNVML(Self.two)
        let devices = try NVMLLibrary.devices(path: nvml.path)
        #expect(devices.map(\.uuid) == ["GPU-aaaa", "GPU-bbbb"])
        #expect(devices.map(\.number) == ["0", "1"])
        #expect(devices.map(\.name) == ["Stand-in One", "Stand-in Two"])
        #expect(devices.allSatisfy { $0.memory == 81_559 << 20 && !$0.isPart })
        // Each look asks the driver again.
        try nvml.folder.write("gpus", "GPU-cccc,Other,1024\n")
        #expect(try NVMLLibrary.devices(path: nvml.path).map(\.uuid) == ["GPU-cccc"])
    }

    @Test func partsCountAndWhatDoesNotAnswerIsLeftOut() async throws {
        let nvml = try await StandInNVML(
            "?\nGPU-a,Whole,81559\n+MIG-1,Part,10240\n+MIG-2,Part,20480\nGPU-b,Other,81559\n")
        let devices = try NVMLLibrary.devices(path: nvml.path)
        #expect(devices.map(\.uuid) == ["MIG-1", "MIG-2", "GPU-b"])
        #expect(devices.map(\.number) == ["1:0", "1:1", "2"])
        #expect(devices.map(\.isPart) == [true, true, false])
    }

    @Test func whatIsWrongWithNVMLIsSaid() async throws {
        let none = #expect(throws: NVMLLibrary.Failure.self) {
            try NVMLLibrary.devices(path: "/nowhere/libnvidia-ml.so.1")
        }
        #expect(none?.description.contains("/nowhere/libnvidia-ml.so.1") == true)
        let foreign = #expect(throws: NVMLLibrary.Failure.self) { try NVMLLibrary.devices(path: "libm.so.6") }
        #expect(foreign?.description == "libm.so.6 has no nvmlInit_v2: the driver is too old")
        let nvml = try await StandInNVML(nil)
        let driver = #expect(throws: NVMLLibrary.Failure.self) { try NVMLLibrary.devices(path: nvml.path) }
        #expect(driver?.description == "nvmlInit: Driver Not Loaded")
    }

    @Test func theProgramsLines() {
        let devices = NVIDIASMI.parse([
            "GPU-aaaa, NVIDIA H200, 143771 MiB", "warning: something else", "GPU-bbbb, NVIDIA GB10, [N/A]", "",
        ])
        #expect(
            devices == [
                GPUDevice(uuid: "GPU-aaaa", number: "0", name: "NVIDIA H200", memory: 143_771 << 20),
                GPUDevice(uuid: "GPU-bbbb", number: "1", name: "NVIDIA GB10", memory: 0),
            ])
    }

    @Test(
        arguments: [
            (nil, ["0", "1:0", "1:1", "2"], nil), ("", [], nil), ("-1", [], nil), ("2,0", ["2", "0"], nil),
            (" 2 , 2", ["2"], nil), ("1", ["1:0"], nil), ("0,7,2", ["0"], "7"), ("GPU-c", ["2"], nil),
            ("MIG-2,GPU-aaaa", ["1:1", "0"], nil), ("GPU-", [], "GPU-"), ("MIG-", [], "MIG-"), ("0,-1,2", ["0"], nil),
            ("NoDevFiles", [], "NoDevFiles"), ("0,", ["0"], nil),
        ] as [(String?, [String], String?)])
    func theGatewaysOwnListIsReadAsCUDADoes(_ list: String?, _ numbers: [String], _ unknown: String?) {
        let devices = [
            GPUDevice(uuid: "GPU-aaaa", number: "0"), GPUDevice(uuid: "MIG-1", number: "1:0", isPart: true),
            GPUDevice(uuid: "MIG-2", number: "1:1", isPart: true), GPUDevice(uuid: "GPU-cccc", number: "2"),
        ]
        let found = VisibleDevices.restrict(devices, to: list)
        #expect(found.devices.map(\.number) == numbers)
        #expect(found.unknown == unknown)
    }

    private func inventory(_ variables: [String: String]) -> GPUInventory {
        GPUInventory(variables: variables, launcher: "/usr/bin/false", logger: Logger(label: "test"))
    }

    @Test func aHostWithoutSaysWhy() async throws {
        let error = await #expect(throws: GPUShortage.self) {
            try await inventory(["DCF_NVML": "/nowhere/nvml.so", "PATH": "/nowhere"]).look()
        }
        #expect(error?.isPermanent == true)
        let text = error?.description ?? ""
        #expect(text.hasPrefix("limits.gpu: this host has no GPU that can be used: /nowhere/nvml.so: "))
        #expect(text.hasSuffix("; nvidia-smi is not on the gateway's PATH"))
    }

    @Test func whatTheEnvironmentLeaves() async throws {
        let nvml = try await StandInNVML(Self.two)
        let some = try await inventory(["DCF_NVML": nvml.path, "CUDA_VISIBLE_DEVICES": "1"]).look()
        #expect(some.map(\.uuid) == ["GPU-bbbb"])
        let error = await #expect(throws: GPUShortage.self) {
            try await inventory(["DCF_NVML": nvml.path, "CUDA_VISIBLE_DEVICES": ""]).look()
        }
        #expect(error?.description.hasSuffix("leaves none of the 2 GPUs of this host") == true)
    }

    @Test func looksAtTheSameTimeAreOne() async throws {
        let nvml = try await StandInNVML(Self.two)
        let inventory = inventory(["DCF_NVML": nvml.path])
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<20 { group.addTask { try await inventory.look().count } }
            for try await count in group { #expect(count == 2) }
        }
    }
}
