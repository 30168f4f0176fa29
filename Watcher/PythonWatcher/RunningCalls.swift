/// The calls that the handler works on. The code that inserts a request keeps its object alive until it removes the
/// request.
struct RunningCalls {
    typealias Request = UnsafeMutablePointer<RequestObject>

    private var requests = UnsafeMutablePointer<Request>.allocate(capacity: 1)
    private var capacity = 1
    private(set) var count = 0

    mutating func insert(_ request: Request) {
        if count == capacity { grow() }
        (requests + count).initialize(to: request)
        count += 1
    }

    mutating func remove(_ request: Request) {
        for index in 0..<count where requests[index] == request {
            count -= 1
            requests[index] = requests[count]
            return
        }
    }

    func find(_ id: UInt64) -> Request? {
        for index in 0..<count where requests[index].pointee.callID == id { return requests[index] }
        return nil
    }

    func forEach(_ body: (Request) -> Void) {
        for index in 0..<count { body(requests[index]) }
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Request>.allocate(capacity: 2 * capacity)
        larger.moveInitialize(from: requests, count: count)
        requests.deallocate()
        requests = larger
        capacity *= 2
    }
}
