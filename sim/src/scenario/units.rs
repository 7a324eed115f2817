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

/// A range of numbers that may be negative, both ends included: microseconds that a clock is off, or millionths that it drifts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signed {
    pub from: i64,
    pub to: i64,
}

impl Signed {
    pub const fn fixed(value: i64) -> Signed {
        Signed { from: value, to: value }
    }

    /// Maps a uniform draw onto the range.
    pub fn pick(self, draw: u64) -> i64 {
        self.from.saturating_add_unsigned(tertulia_protocol::dice::below(draw, self.to.abs_diff(self.from).saturating_add(1)))
    }
}

/// The most that a clock may be off: what is more is surely a mistake of the file.
const MOST_OFF: u64 = 365 * 24 * 3_600_000_000;
/// The most that a clock may drift, in millionths: half or one and a half times as fast.
const MOST_DRIFT: u64 = 500_000;

/// One time that a clock is off, which may be negative, or `"a..b"`: `"-50ms"`, `"-1s..1s"`.
pub fn offset(text: &str) -> Result<Signed, String> {
    let within = |text: &str, micros: u64| match micros {
        ..=MOST_OFF => Ok(micros),
        _ => Err(format!("\"{text}\" is more than a year: no clock is off by so much")),
    };
    signed(text, |text| duration(text).and_then(|micros| within(text, micros)))
}

/// One drift of a clock, in millionths, which may be negative, or `"a..b"`: `"200ppm"`, `"-1%"`, `"-0.1%..0.1%"`.
pub fn drift(text: &str) -> Result<Signed, String> {
    signed(text, |text| {
        let ppm = match text.strip_suffix("ppm") {
            Some(number) => decimal(number.trim(), 1),
            None => percent(text).ok().map(u64::from),
        };
        let wrong = || format!("\"{text}\" is not a drift: write one in ppm or percent, such as \"200ppm\" or \"-1%\"");
        match ppm.ok_or_else(wrong)? {
            ppm @ ..=MOST_DRIFT => Ok(ppm),
            _ => Err(format!("a drift of \"{text}\" is too much: at most 50% either way")),
        }
    })
}

fn signed(text: &str, parse: impl Fn(&str) -> Result<u64, String>) -> Result<Signed, String> {
    let one = |text: &str| {
        let text = text.trim();
        match text.strip_prefix('-') {
            Some(text) => Ok::<i64, String>(-(parse(text.trim_start())? as i64)),
            None => Ok(parse(text.strip_prefix('+').unwrap_or(text))? as i64),
        }
    };
    let Some((from, to)) = text.split_once("..") else { return one(text).map(Signed::fixed) };
    let (from, to) = (one(from)?, one(to)?);
    if from > to {
        return Err(format!("\"{text}\" runs backwards: write the smaller end first"));
    }
    Ok(Signed { from, to })
}

/// How much passes a link, or a reader, in a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Throughput {
    Bytes(u64),
    Messages(u64),
}

impl Throughput {
    /// Microseconds that a message of so many bytes takes.
    pub fn takes(self, bytes: u64) -> u64 {
        match self {
            Throughput::Bytes(rate) => (bytes * 1_000_000).div_ceil(rate),
            Throughput::Messages(rate) => 1_000_000u64.div_ceil(rate),
        }
    }
}

/// `"64KiB/s"` or `"200/s"`.
pub fn throughput(text: &str) -> Result<Throughput, String> {
    let wrong = || format!("\"{text}\" is not a throughput: write bytes or messages a second, such as \"64KiB/s\" or \"200/s\"");
    let number = text.strip_suffix("/s").ok_or_else(wrong)?.trim();
    let found = match number.parse::<u64>() {
        Ok(messages) => Throughput::Messages(messages),
        Err(_) => Throughput::Bytes(bytes(number).map_err(|_| wrong())?),
    };
    match found {
        Throughput::Bytes(0) | Throughput::Messages(0) => Err(format!("\"{text}\" lets nothing through: that is a partition")),
        found => Ok(found),
    }
}

/// What a range of drawn values counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// A bare number.
    One,
    Micros,
    /// Thousandths of one a minute.
    Rate,
    /// Millionths.
    Percent,
    Bytes,
}

impl Unit {
    /// So many as a file would say it.
    pub fn write(self, count: u64) -> String {
        match self {
            Unit::One => count.to_string(),
            Unit::Micros if count.is_multiple_of(1_000) => format!("{}ms", count / 1_000),
            Unit::Micros => format!("{count}us"),
            Unit::Rate => format!("{}.{:03}/m", count / 1_000, count % 1_000),
            Unit::Percent => format!("{}.{:04}%", count / 10_000, count % 10_000),
            Unit::Bytes => format!("{count}B"),
        }
    }
}

/// `"1..9"`, `"2ms..8ms"`, `"10/s..50/s"`, `"1%..5%"` or `"16KiB..1MiB"`: both ends, and what they count.
pub fn drawn_range(text: &str) -> Result<(Unit, u64, u64), String> {
    let wrong = || {
        let like = "\"1..9\", \"2ms..8ms\", \"10/s..50/s\", \"1%..5%\" or \"16KiB..1MiB\"";
        format!("\"{text}\" is not a range to draw from: write both ends with the same kind of unit, such as {like}")
    };
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let ((unit, from), (other, to)) = (quantity(from.trim()).ok_or_else(wrong)?, quantity(to.trim()).ok_or_else(wrong)?);
    match () {
        () if unit != other => Err(wrong()),
        () if from > to => Err(format!("\"{text}\" runs backwards: write the smaller end first")),
        () => Ok((unit, from, to)),
    }
}

fn quantity(text: &str) -> Option<(Unit, u64)> {
    let rate = |text: &str| {
        let (number, unit) = text.split_once('/')?;
        let minutes = match unit.trim() {
            "s" => 60_000,
            "m" => 1_000,
            _ => return None,
        };
        decimal(number.trim(), minutes)
    };
    let number = text.parse().ok().map(|number| (Unit::One, number));
    number
        .or_else(|| duration(text).ok().map(|micros| (Unit::Micros, micros)))
        .or_else(|| rate(text).map(|rate| (Unit::Rate, rate)))
        .or_else(|| percent(text).ok().map(|ppm| (Unit::Percent, ppm.into())))
        .or_else(|| bytes(text).ok().map(|bytes| (Unit::Bytes, bytes)))
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
    fn what_is_drawn_is_written_as_it_would_be_read() {
        assert_eq!(drawn_range("1..9"), Ok((Unit::One, 1, 9)));
        assert_eq!(drawn_range("1.5s..2m"), Ok((Unit::Micros, 1_500_000, 120_000_000)));
        assert_eq!(drawn_range("30/m..2/s"), Ok((Unit::Rate, 30_000, 120_000)));
        assert_eq!(drawn_range("0.5%..3%"), Ok((Unit::Percent, 5_000, 30_000)));
        assert_eq!(drawn_range("1KiB..1MiB"), Ok((Unit::Bytes, 1 << 10, 1 << 20)));
        assert!(drawn_range("1..9ms").is_err() && drawn_range("a..b").is_err() && drawn_range("5ms").is_err());
        assert!(drawn_range("9ms..1ms").unwrap_err().contains("backwards"));
        assert_eq!(duration(&Unit::Micros.write(1_234)), Ok(1_234));
        assert_eq!(duration(&Unit::Micros.write(12_000)), Ok(12_000));
        assert_eq!(rate(&Unit::Rate.write(120_000)), rate("2/s"));
        assert_eq!(percent(&Unit::Percent.write(5_001)), Ok(5_001));
        assert_eq!(bytes(&Unit::Bytes.write(77)), Ok(77));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("256KiB"), Ok(256 << 10));
        assert_eq!(bytes("500B"), Ok(500));
        assert!(bytes("5").unwrap_err().contains("unit"));
        assert!(bytes("-5MiB").is_err());
    }

    #[test]
    fn clocks_are_off_and_drift_either_way() {
        assert_eq!(offset("-50ms"), Ok(Signed::fixed(-50_000)));
        assert_eq!(offset("-1s..+250us"), Ok(Signed { from: -1_000_000, to: 250 }));
        assert_eq!(drift("-0.1%..200ppm"), Ok(Signed { from: -1_000, to: 200 }));
        assert!(drift("5").unwrap_err().contains("in ppm or percent"));
        assert!(drift("60%").unwrap_err().contains("at most 50%"));
        assert!(offset("1s..-1s").unwrap_err().contains("backwards"));
        assert!(offset("600000m").unwrap_err().contains("more than a year"));
        let ends = [0, u64::MAX].map(|draw| Signed { from: -3, to: 4 }.pick(draw));
        assert_eq!((ends, Signed::fixed(-3).pick(9)), ([-3, 4], -3));
    }

    #[test]
    fn what_passes_a_link_in_a_second_is_bytes_or_messages() {
        assert_eq!(throughput("64KiB/s"), Ok(Throughput::Bytes(64 << 10)));
        assert_eq!(throughput("200/s").map(|rate| rate.takes(9_999)), Ok(5_000));
        assert_eq!(throughput("1KiB/s").map(|rate| rate.takes(512)), Ok(500_000));
        assert!(throughput("0/s").unwrap_err().contains("that is a partition"));
        assert!(throughput("64KiB").unwrap_err().contains("such as"));
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
