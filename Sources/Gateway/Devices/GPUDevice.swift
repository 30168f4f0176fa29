/// A GPU of the host, or a part of one (MIG) that counts as a device of its own.
package struct GPUDevice: Sendable, Hashable {
    /// As CUDA_VISIBLE_DEVICES takes it: `GPU-...` or `MIG-...`.
    package var uuid: String
    /// As nvidia-smi counts: `0`; `0:1` is a part of it.
    package var number: String
    /// `NVIDIA H200`.
    package var name: String
    /// In bytes; 0 where it is not known.
    package var memory: UInt64
    /// A part of a device. CUDA lets a process have one such device, and no other beside it.
    package var isPart: Bool

    package init(uuid: String, number: String, name: String = "", memory: UInt64 = 0, isPart: Bool = false) {
        self.uuid = uuid
        self.number = number
        self.name = name
        self.memory = memory
        self.isPart = isPart
    }
}
