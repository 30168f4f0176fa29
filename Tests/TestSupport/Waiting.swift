/// Returns when the condition is true, or when the test's time is over.
///
/// It looks every millisecond, and keeps no thread busy meanwhile.
package func waitUntil(_ condition: () -> Bool) async {
    while !condition(), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(1)) }
}
