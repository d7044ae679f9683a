//! The words for a column: its type, the order of its dates, the decimal mark of its numbers.

use std::fmt;
use std::str::FromStr;

/// What the values of a column are, and how they are stored.
///
/// | | in a new table of SQLite | of PostgreSQL |
/// |---|---|---|
/// | [`Integer`](Self::Integer) | `INTEGER` | `bigint` |
/// | [`Real`](Self::Real) | `REAL` | `double precision` |
/// | [`Money`](Self::Money) | `REAL` | `numeric` |
/// | [`Text`](Self::Text) | `TEXT` | `text` |
/// | [`Date`](Self::Date) | `DATE`, text `YYYY-MM-DD` | `date` |
///
/// ```
/// use samovar_source::import::ColumnType;
///
/// assert_eq!("money".parse(), Ok(ColumnType::Money));
/// assert!("number".parse::<ColumnType>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Whole numbers of 64 bits.
    Integer,
    /// Numbers, stored as 64-bit floating point.
    Real,
    /// Text, stored exactly as it stands in the file.
    Text,
    /// A day.
    Date,
    /// Numbers written as money: `$1,234.56`, `-¥5.00`, `12,50 €`, `(5.00)`, `5.00-`. Never rounded.
    Money,
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ColumnType::Integer => "integer",
            ColumnType::Real => "real",
            ColumnType::Text => "text",
            ColumnType::Date => "date",
            ColumnType::Money => "money",
        })
    }
}

impl FromStr for ColumnType {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.to_ascii_lowercase().as_str() {
            "integer" => Ok(ColumnType::Integer),
            "real" => Ok(ColumnType::Real),
            "text" => Ok(ColumnType::Text),
            "date" => Ok(ColumnType::Date),
            "money" => Ok(ColumnType::Money),
            _ => Err(UnknownWord { allowed: "integer, real, text, date, money" }),
        }
    }
}

/// How `01/02/2016` is read. Dates that begin with the year need no order.
///
/// ```
/// use samovar_source::import::{DateOrder, ImportOptions, import_csv};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("sales.csv");
/// std::fs::write(&file, "day\n01/02/2016\n")?;
/// let mut options = ImportOptions::new(&file, folder.path().join("shop.db"), "sales");
/// assert!(import_csv(&options, &mut |_| ()).is_err(), "it must be told");
/// options.date_orders = vec![(None, "dmy".parse()?)];
/// assert_eq!(options.date_orders, [(None, DateOrder::DayFirst)]);
/// import_csv(&options, &mut |_| ())?;
/// # let db = rusqlite::Connection::open(folder.path().join("shop.db"))?;
/// # let day: String = db.query_row("SELECT day FROM sales", [], |row| row.get(0))?;
/// assert_eq!(day, "2016-02-01");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateOrder {
    /// `mdy`: month, day, year, as in the United States.
    MonthFirst,
    /// `dmy`: day, month, year.
    DayFirst,
}

impl fmt::Display for DateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DateOrder::MonthFirst => "mdy",
            DateOrder::DayFirst => "dmy",
        })
    }
}

impl FromStr for DateOrder {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.to_ascii_lowercase().as_str() {
            "mdy" => Ok(DateOrder::MonthFirst),
            "dmy" => Ok(DateOrder::DayFirst),
            _ => Err(UnknownWord { allowed: "mdy, dmy" }),
        }
    }
}

/// What stands before the fraction of a number.
///
/// ```
/// # use samovar_source::import::{DecimalMark, ImportOptions, UnknownWord};
/// # fn main() -> Result<(), UnknownWord> {
/// let mut options = ImportOptions::new("sales.csv", "shop.db", "sales");
/// options.decimal_marks = vec![(Some("sale".into()), "comma".parse()?)];
/// assert_eq!(options.decimal_marks[0].1, DecimalMark::Comma);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecimalMark {
    /// `point`: `1,234.56`
    Point,
    /// `comma`: `1.234,56`
    Comma,
}

impl fmt::Display for DecimalMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecimalMark::Point => "point",
            DecimalMark::Comma => "comma",
        })
    }
}

impl FromStr for DecimalMark {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word.to_ascii_lowercase().as_str() {
            "point" => Ok(DecimalMark::Point),
            "comma" => Ok(DecimalMark::Comma),
            _ => Err(UnknownWord { allowed: "point, comma" }),
        }
    }
}

/// How the cells of a column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) kind: ColumnType,
    /// The order of dates; `None` if no date needs one.
    pub(super) order: Option<DateOrder>,
    pub(super) mark: DecimalMark,
}

/// A word that names none of what may be named there; its message lists the allowed ones.
///
/// ```
/// # use samovar_source::import::ColumnType;
/// let wrong = "number".parse::<ColumnType>().expect_err("there is no such type");
/// assert!(wrong.to_string().contains("integer, real, text, date, money"), "{wrong}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    pub(super) allowed: &'static str,
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "allowed are {}", self.allowed)
    }
}

impl std::error::Error for UnknownWord {}
