/// A call on its way, as whoever made it holds it.
struct AdmittedCall: Sendable {
    let route: FunctionRoute
    let invocation: Invocation

    /// Nobody waits for the answer any more.
    func callerLeft() {
        route.callerLeft(invocation)
    }
}
