internal import Platform

// Several threads read the links when one of them is busy. Each link begins on the first. A busy thread gives links
// with up to half of its work to the thread that has the least to do; a thread with little to do gives its links back
// to the first, where their replies are written together.
extension LinkLoop {
    /// Shares the links anew after a window in which the thread was at work for `share` of the time.
    func shareLinks(_ share: Double, at now: MonotonicTime) {
        thread.note(share: share, at: now)
        defer { for link in links.values { link.work = 0 } }
        guard let first = threads.first else { return }
        if share >= bounds.busy {
            relieve(share, at: now)
        } else if thread !== first, share <= bounds.idle, first.share(at: now) + share < bounds.busy {
            for link in links.values { move(link, to: first) }
        }
    }

    private func relieve(_ share: Double, at now: MonotonicTime) {
        let working = links.values.filter { $0.work > 0 && $0.served != nil }.sorted { $0.work > $1.work }
        let others = threads.filter { $0 !== thread }.map { (thread: $0, share: $0.share(at: now)) }
        guard working.count > 1, let target = others.min(by: { $0.share < $1.share }), target.share <= share / 2 else {
            return
        }
        var (kept, given) = (0, 0)
        for link in working {
            if kept <= given {
                kept += link.work
            } else {
                given += link.work
                move(link, to: target.thread)
            }
        }
    }

    /// Lets another thread read the link from now on. Called between two turns: what was read so far is delivered.
    func move(_ link: ReplicaLink, to target: LinkThread) {
        poll.remove(link.descriptor)
        links[link.descriptor] = nil
        link.home.move(to: target)
        guard !target.perform({ $0.adopt(link) }) else { return }
        // The gateway stops.
        link.home.move(to: thread)
        adopt(link)
    }

    /// Takes over a link that another thread has read so far.
    func adopt(_ link: ReplicaLink) {
        link.burst = burst
        links[link.descriptor] = link
        do throws(FileError) {
            // A writer may have asked the other thread for room.
            try poll.watch(
                link.descriptor, for: [.readable, .writable], key: UInt64(link.descriptor), named: "a link")
        } catch {
            close(link, .byGateway("\(error)"))
        }
    }
}
