//! Numbers of any length, as PostgreSQL's binary form of `numeric` has them.

use std::fmt;

/// Decimal digits to a digit of the binary form.
const WIDTH: i32 = 4;
const BASE: i64 = 10_000;
/// So many digits of the binary form are few.
const SHORT: usize = 4;
/// 10 to the power of the place.
pub(crate) const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A number: its digits in base 10,000, the first times 10,000 to the power of `weight`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal<'a> {
    /// Two bytes each, the greater first.
    digits: &'a [u8],
    weight: i32,
    sign: Sign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
    NotANumber,
    Infinity,
    NegativeInfinity,
}

impl Sign {
    /// The word for what is no number, or one without end.
    fn word(self) -> Option<&'static str> {
        match self {
            Sign::Positive | Sign::Negative => None,
            Sign::NotANumber => Some("NaN"),
            Sign::Infinity => Some("Infinity"),
            Sign::NegativeInfinity => Some("-Infinity"),
        }
    }
}

impl<'a> Decimal<'a> {
    /// From the binary form; `None` if it is none.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Decimal<'a>> {
        let (header, digits) = bytes.split_first_chunk::<8>()?;
        let [n, m, weight, eight, sign, zero, ..] = *header;
        let sign = match u16::from_be_bytes([sign, zero]) {
            0x0000 => Sign::Positive,
            0x4000 => Sign::Negative,
            0xC000 => Sign::NotANumber,
            0xD000 => Sign::Infinity,
            0xF000 => Sign::NegativeInfinity,
            _ => return None,
        };
        let is_whole = digits.len() == 2 * usize::from(u16::from_be_bytes([n, m]));
        let weight = i32::from(i16::from_be_bytes([weight, eight]));
        is_whole.then_some(Decimal { digits, weight, sign })
    }

    fn digits(&self) -> impl ExactSizeIterator<Item = i64> + DoubleEndedIterator {
        let (digits, _) = self.digits.as_chunks::<2>();
        digits.iter().map(|digit| i64::from(u16::from_be_bytes(*digit)))
    }

    /// The same as [`Decimal::fixed`] for numbers of few digits, as nearly all are: one division at most. `None` if it is
    /// not one of them.
    #[inline]
    pub(crate) fn short(&self, decimals: u8) -> Option<i64> {
        let (digits, _) = self.digits.as_chunks::<2>();
        if digits.len() > SHORT {
            return None;
        }
        // Below 10 to the 16th.
        let sum = digits
            .iter()
            .fold(0, |sum: i64, digit| sum * BASE + i64::from(u16::from_be_bytes(*digit)));
        let places = (self.weight + 1 - digits.len() as i32) * WIDTH + i32::from(decimals.min(18));
        let one = *POWERS.get(places.unsigned_abs() as usize)?;
        let size = if places >= 0 { sum.checked_mul(one)? } else { (sum + one / 2) / one };
        match self.sign {
            Sign::Positive => Some(size),
            Sign::Negative => Some(-size),
            _ => None,
        }
    }

    /// Times 10 to the power of `decimals`, rounded half away from zero; `None` if it is no number, or does not fit.
    pub(crate) fn fixed(&self, decimals: u8) -> Option<i64> {
        if self.sign.word().is_some() {
            return None;
        }
        if let Some(fixed) = self.short(decimals) {
            return Some(fixed);
        }
        // Summed up below zero, where there is one number more.
        let mut sum = 0i64;
        // How many decimal places are left from here to where the rest is rounded away.
        let mut places = (self.weight + 1) * WIDTH + i32::from(decimals.min(18));
        for digit in self.digits() {
            if places < 0 {
                return self.signed(0);
            }
            places -= WIDTH;
            if places >= 0 {
                sum = sum.checked_mul(BASE)?.checked_sub(digit)?;
                continue;
            }
            // Only the first of its four places count, or none; the next one decides.
            let (kept, one) = (WIDTH + places, 10i64.pow(places.unsigned_abs()));
            let rounded = digit / one + i64::from(digit % one * 2 >= one);
            sum = sum.checked_mul(10i64.pow(kept.unsigned_abs()))?.checked_sub(rounded)?;
            return self.signed(sum);
        }
        // The zeros that are not written.
        for _ in 0..places {
            if sum == 0 {
                break;
            }
            sum = sum.checked_mul(10)?;
        }
        self.signed(sum)
    }

    fn signed(&self, below_zero: i64) -> Option<i64> {
        if self.sign == Sign::Negative { Some(below_zero) } else { below_zero.checked_neg() }
    }
}

/// A number written in plain digits times 10 to the power of `decimals`, rounded as [`Decimal::fixed`] rounds: a float
/// would lose digits first. `Err` if it is written in another way; `Ok(None)` if it does not fit.
pub(crate) fn fixed_of_digits(text: &str, decimals: u8) -> Result<Option<i64>, ()> {
    let is_negative = text.starts_with('-');
    let size = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = size.split_once('.').unwrap_or((size, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if size.len() - usize::from(size.contains('.')) == 0 || !are_digits(whole) || !are_digits(part)
    {
        return Err(());
    }
    let decimals = usize::from(decimals.min(18));
    let mut kept = whole.bytes().chain(part.bytes().chain(std::iter::repeat(b'0')).take(decimals));
    let rest = part.as_bytes().get(decimals).is_some_and(|digit| *digit >= b'5');
    // Summed up below zero, where there is one number more.
    let sum = kept
        .try_fold(0i64, |sum, digit| sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0')))
        .and_then(|sum| sum.checked_sub(i64::from(rest)));
    Ok(sum.and_then(|sum| if is_negative { Some(sum) } else { sum.checked_neg() }))
}

/// Writes what follows a point, `width` places of it, without zeros at the end.
pub(crate) fn fraction(to: &mut dyn fmt::Write, mut places: i64, mut width: usize) -> fmt::Result {
    while places != 0 && places % 10 == 0 {
        (places, width) = (places / 10, width - 1);
    }
    write!(to, "{places:0width$}")
}

/// In plain digits, without zeros at the end: equal numbers read alike.
impl fmt::Display for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(word) = self.sign.word() {
            return f.write_str(word);
        }
        let count = self.digits().rposition(|digit| digit != 0).map_or(0, |last| last + 1);
        if count == 0 {
            return f.write_str("0");
        }
        if self.sign == Sign::Negative {
            f.write_str("-")?;
        }
        let mut digits = self.digits().take(count);
        if self.weight < 0 {
            f.write_str("0")?;
        }
        for at in 0..=self.weight {
            let digit = digits.next().unwrap_or(0);
            if at == 0 { write!(f, "{digit}")? } else { write!(f, "{digit:04}")? }
        }
        if digits.len() > 0 {
            f.write_str(".")?;
            (self.weight..-1).try_for_each(|_| f.write_str("0000"))?;
        }
        while digits.len() > 1 {
            write!(f, "{:04}", digits.next().unwrap_or(0))?;
        }
        digits.next().map_or(Ok(()), |last| fraction(f, last, 4))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    /// The binary form of `number`, which is digits with or without a sign and a point.
    fn binary(number: &str) -> Vec<u8> {
        let (sign, number) =
            number.strip_prefix('-').map_or((0u16, number), |number| (0x4000, number));
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
        let scale = part.len() as u16;
        let part = format!("{part}{}", "0".repeat((4 - part.len() % 4) % 4));
        let mut weight = whole.len() as i16 / 4 - 1;
        let text = whole + &part;
        let mut digits: Vec<u16> = text
            .as_bytes()
            .chunks(4)
            .map(|c| str::from_utf8(c).unwrap().parse().unwrap())
            .collect();
        while digits.first() == Some(&0) {
            digits.remove(0);
            weight -= 1;
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let mut bytes = Vec::new();
        for part in [digits.len() as u16, weight as u16, sign, scale].iter().chain(&digits) {
            bytes.extend(part.to_be_bytes());
        }
        bytes
    }

    /// In both forms, which must agree.
    fn fixed(number: &str, decimals: u8) -> Option<i64> {
        let fixed = Decimal::read(&binary(number)).unwrap().fixed(decimals);
        assert_eq!(fixed_of_digits(number, decimals), Ok(fixed), "{number}");
        fixed
    }

    #[test]
    fn digits_and_nothing_else() {
        for (text, cents) in [("5.", 500), (".5", 50), ("+7", 700), ("-.005", -1), ("007", 700)] {
            assert_eq!(fixed_of_digits(text, 2), Ok(Some(cents)), "{text}");
        }
        for text in ["", ".", "-", "+.", "1e3", "1,5", "1.2.3", "--1", " 1", "٣", "nan", "0x1"] {
            assert_eq!(fixed_of_digits(text, 2), Err(()), "{text}");
        }
    }

    #[test]
    fn money_is_rounded_half_away_from_zero() {
        for (number, cents) in [
            ("0", 0),
            ("19.99", 1_999),
            ("0.125", 13),
            ("-0.125", -13),
            ("0.124999999999999999", 12),
            ("0.005", 1),
            ("0.00499", 0),
            ("0.00005", 0),
            ("0.000000000001", 0),
            ("10000", 1_000_000),
            ("-123456789.995", -12_345_679_000),
            ("92233720368547758.07", i64::MAX),
            ("-92233720368547758.08", i64::MIN),
        ] {
            assert_eq!(fixed(number, 2), Some(cents), "{number}");
        }
        assert_eq!(fixed("0.5", 0), Some(1));
        assert_eq!(fixed("-1234.49999", 0), Some(-1_234));
        assert_eq!(fixed("1.5", 18), Some(1_500_000_000_000_000_000));
        for number in ["92233720368547758.08", "92233720368547758.075", "1000000000000000000000000"]
        {
            assert_eq!(fixed(number, 2), None, "{number}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for (sign, word) in [(0xC0, "NaN"), (0xD0, "Infinity"), (0xF0, "-Infinity")] {
            let bytes = [0, 0, 0, 0, sign, 0, 0, 0];
            let read = Decimal::read(&bytes).unwrap();
            assert_eq!((read.fixed(2), read.to_string().as_str()), (None, word));
        }
        for bytes in [&[][..], &[0; 7], &[0, 1, 0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 0, 0, 0]] {
            assert!(Decimal::read(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn equal_numbers_read_alike() {
        for (number, text) in [
            ("7.00", "7"),
            ("-0.50", "-0.5"),
            ("120000", "120000"),
            ("100000000.00001", "100000000.00001"),
            ("0.000000001", "0.000000001"),
            ("0.00", "0"),
        ] {
            assert_eq!(Decimal::read(&binary(number)).unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn reading_is_arithmetic(number in any::<i64>(), point in 0u32..19, decimals in 0u8..10) {
            let one = 10u128.pow(point);
            let size = u128::from(number.unsigned_abs());
            let sign = if number < 0 { "-" } else { "" };
            let width = point as usize;
            let text = format!("{sign}{}.{:0width$}", size / one, size % one);
            let scaled = size * 10u128.pow(u32::from(decimals));
            let rounded = (scaled + one / 2) / one;
            let expected = i128::try_from(rounded).ok().map(|n| if number < 0 { -n } else { n });
            let expected = expected.and_then(|n| i64::try_from(n).ok());
            prop_assert_eq!(fixed(&text, decimals), expected);
            let bytes = binary(&text);
            let spelt = Decimal::read(&bytes).unwrap().to_string();
            let plain = text.trim_end_matches('0').trim_end_matches('.');
            let plain = if size == 0 { "0" } else { plain };
            prop_assert_eq!(spelt, plain);
        }
    }
}
