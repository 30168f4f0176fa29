/// CUDA_VISIBLE_DEVICES as CUDA reads it: a list of numbers and UUIDs, which may be shortened as long as they are unique.
/// What follows the first that names no device does not count.
package enum VisibleDevices {
    /// The devices that it leaves, in its order.
    ///
    /// - Parameter list: nil leaves all.
    /// - Returns: also the entry that names no device, if there is one.
    package static func restrict(_ devices: [GPUDevice], to list: String?) -> (devices: [GPUDevice], unknown: String?) {
        guard let list else { return (devices, nil) }
        var chosen: [GPUDevice] = []
        for part in list.split(separator: ",", omittingEmptySubsequences: false) {
            let entry = part.trimmingBlanks
            guard let device = device(entry, of: devices) else {
                return (chosen, entry.isEmpty || entry == "-1" ? nil : entry)
            }
            if !chosen.contains(device) { chosen.append(device) }
        }
        return (chosen, nil)
    }

    private static func device(_ entry: String, of devices: [GPUDevice]) -> GPUDevice? {
        if let number = UInt(entry) {
            // Of a device in parts CUDA takes the first.
            return devices.first { $0.number == "\(number)" || $0.number.hasPrefix("\(number):") }
        }
        guard entry.hasPrefix("GPU-") || entry.hasPrefix("MIG-") else { return nil }
        let found = devices.filter { $0.uuid.hasPrefix(entry) }
        return found.count == 1 ? found.first : nil
    }
}

extension Substring {
    fileprivate var trimmingBlanks: String {
        String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
