/// What a cancel does to a call that has begun, beside setting `req.cancelled`.
enum CancelStyle {
    /// Nothing.
    case flag
    /// `dcf.Cancelled` is raised in the interpreter's main thread, which runs the handler.
    case raiseInMain
    /// `dcf.Cancelled` is raised in whichever of the handler's threads runs the call, by the main thread.
    case raiseInThread
}
