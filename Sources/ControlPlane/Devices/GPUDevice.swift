/// A GPU of the host, or a part of one (MIG) that counts as a device of its own.
package struct GPUDevice: Sendable, Hashable {
    /// A value that CUDA_VISIBLE_DEVICES accepts: `GPU-...` or `MIG-...`.
    package var uuid: String
    /// The number that nvidia-smi shows: `0`. `0:1` is a part of device 0.
    package var number: String
    /// `NVIDIA H200`.
    package var name: String
    /// In bytes; 0 when it is unknown.
    package var memory: UInt64
    /// Whether this is a part of a device. CUDA lets a process use one part, and no other device beside it.
    package var isPart: Bool

    package init(uuid: String, number: String, name: String = "", memory: UInt64 = 0, isPart: Bool = false) {
        self.uuid = uuid
        self.number = number
        self.name = name
        self.memory = memory
        self.isPart = isPart
    }
}
