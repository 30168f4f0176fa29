/// Somebody wants a template: one that is there stays as long as this does.
final class TemplateClaim: Sendable {
    private let pool: TemplatePool
    private let key: TemplateKey

    init(_ key: TemplateKey, in pool: TemplatePool) {
        self.pool = pool
        self.key = key
        pool.want(key)
    }

    deinit { pool.release(key) }
}
