//! Numbers with units: durations, rates and percentages, and ranges of them. All integers, so that every machine reads the same.

/// A range of simulated microseconds, both ends included. `from == to` is a fixed time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

impl Span {
    pub const fn fixed(micros: u64) -> Span {
        Span { from: micros, to: micros }
    }

    pub const fn millis(from: u64, to: u64) -> Span {
        Span { from: from * 1000, to: to * 1000 }
    }

    /// Maps a uniform draw onto the span.
    pub fn pick(self, draw: u64) -> u64 {
        if self.from == self.to { self.from } else { tertulia_protocol::dice::within(draw, self.from, self.to) }
    }
}

/// `"250us"`, `"5ms"`, `"1.5s"`, `"2m"` in microseconds.
pub fn duration(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        _ => return Err(format!("\"{text}\" is not a duration: write a number with a unit, us, ms, s or m, such as \"250ms\"")),
    };
    decimal(number.trim(), scale).ok_or_else(|| format!("\"{text}\" is not a duration: \"{number}\" is not a plain number"))
}

/// One duration or `"a..b"`.
pub fn span(text: &str) -> Result<Span, String> {
    let Some((from, to)) = text.split_once("..") else { return duration(text.trim()).map(Span::fixed) };
    let (from, to) = (duration(from.trim())?, duration(to.trim())?);
    if from > to {
        return Err(format!("\"{text}\" runs backwards: write the smaller end first"));
    }
    Ok(Span { from, to })
}

/// `"200/s"` or `"30/m"`: the mean gap in microseconds.
pub fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a rate: write how many per second or minute, such as \"200/s\"");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let scale = match unit.trim() {
        "s" => 1_000_000u64,
        "m" => 60_000_000,
        _ => return Err(wrong()),
    };
    let thousandths = decimal(number.trim(), 1_000).filter(|&n| n > 0).ok_or_else(wrong)?;
    Ok((scale * 1_000 / thousandths).max(1))
}

/// `"256KiB"`, `"4MiB"` or `"500B"` in bytes.
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a size: write a number with a unit, B, KiB or MiB, such as \"256KiB\"");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err(wrong()),
    };
    number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(wrong)
}

/// `"5%"` or `"0.5%"` in millionths.
pub fn percent(text: &str) -> Result<u32, String> {
    let wrong = || format!("\"{text}\" is not a percentage from 0% to 100%: write one such as \"5%\"");
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    decimal(number.trim(), 10_000).filter(|&ppm| ppm <= 1_000_000).map(|ppm| ppm as u32).ok_or_else(wrong)
}

/// A decimal number times `scale`, which is a power of ten or 60 times one; digits below one are cut.
fn decimal(text: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction_scale = 10u64.pow(fraction.len() as u32);
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(scale)?.checked_add(fraction.checked_mul(scale)? / fraction_scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_may_be_ranges() {
        assert_eq!(duration("250us"), Ok(250));
        assert_eq!(duration("1.5s"), Ok(1_500_000));
        assert_eq!(span("2ms..8ms"), Ok(Span { from: 2_000, to: 8_000 }));
        assert!(span("8ms..2ms").unwrap_err().contains("backwards"));
        assert!(duration("5").unwrap_err().contains("unit"));
        assert!(duration("-5ms").is_err());
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("256KiB"), Ok(256 << 10));
        assert_eq!(bytes("500B"), Ok(500));
        assert!(bytes("5").unwrap_err().contains("unit"));
        assert!(bytes("-5MiB").is_err());
    }

    #[test]
    fn rates_and_percentages() {
        assert_eq!(rate("200/s"), Ok(5_000));
        assert_eq!(rate("30/m"), Ok(2_000_000));
        assert_eq!(percent("0.5%"), Ok(5_000));
        assert!(rate("0/s").is_err());
        assert!(percent("101%").is_err());
        assert!(percent("5").is_err());
    }
}
