import CLinux

/// The times that logs use.
package enum LogTime {
    /// Milliseconds since 1970.
    package static func now() -> Int64 {
        dcf_realtime_milliseconds()
    }

    /// Time since some fixed moment, never going back.
    package static func uptime() -> Duration {
        .nanoseconds(dcf_monotonic_nanoseconds())
    }

    /// `2026-01-02T03:04:05.678Z`, for years up to 9999.
    package static func text(_ milliseconds: Int64) -> String {
        let day: Int64 = 86_400_000
        var days = milliseconds / day
        var rest = milliseconds % day
        if rest < 0 {
            rest += day
            days -= 1
        }
        let date = date(days)
        return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T\(padded(rest / 3_600_000, 2)):"
            + "\(padded(rest / 60_000 % 60, 2)):\(padded(rest / 1000 % 60, 2)).\(padded(rest % 1000, 3))Z"
    }

    /// The date of a day counted from 1970-01-01. Years begin in March here, so that the leap day is a year's last.
    private static func date(_ daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let daysPerEra: Int64 = 146_097
        let days = daysSince1970 + 719_468
        let era = (days >= 0 ? days : days - (daysPerEra - 1)) / daysPerEra
        let dayOfEra = days - era * daysPerEra
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }

    private static func padded(_ number: Int64, _ digits: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
}
