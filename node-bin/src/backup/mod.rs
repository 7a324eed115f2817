//! `node backup` and `node restore` (docs/BACKUP.md): `take` asks a node for its rows, `file` is what they are kept in, `restore` makes a new cluster of it.

mod file;
mod restore;
mod take;

pub use restore::restore;
pub use take::backup;

/// `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `713 bytes`, `1.2 MiB`.
fn size(bytes: u64) -> String {
    let with = |unit: u32, name: &str| {
        let tenths = (bytes * 10) >> unit;
        format!("{}.{} {name}", grouped(tenths / 10), tenths % 10)
    };
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..0x10_0000 => with(10, "KiB"),
        0x10_0000..0x4000_0000 => with(20, "MiB"),
        _ => with(30, "GiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1_023, 1_536, 5 << 20, 1_500 << 30].map(size),
            ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 MiB", "1,500.0 GiB"]
        );
    }
}
