//! Why bytes are not a frame that can be read.

use std::fmt;

use samovar_core::{Error, ErrorKind};

use super::Frame;

/// Why bytes are not a frame that can be read. Whatever it is, the value counts as absent.
///
/// ```
/// use bytes::Bytes;
/// use samovar::codec::{Frame, FrameError};
///
/// let json = Bytes::from_static(b"{\"name\":\"Tea\"}");
/// let error = Frame::decode(b"product_info:42", &json).unwrap_err();
/// assert_eq!(error, FrameError::Foreign);
/// assert!(error.to_string().contains("another program writes under this name"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Something else: another program wrote under this name.
    Foreign,
    /// A newer version of this program wrote it.
    Newer {
        /// Its format.
        format: u8,
    },
    /// Not what was written, or written under another name; says where that was noticed.
    Damaged(&'static str),
    /// The value claims to be larger than [`Frame::MAX_VALUE`].
    TooLarge {
        /// The bytes that it claims.
        length: u64,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Foreign => f.write_str(
                "this is no frame: another program writes under this name; choose another prefix",
            ),
            FrameError::Newer { format } => write!(
                f,
                "this frame is of format {format}, and {} is the newest known here: a newer version of the \
                 program wrote it",
                Frame::FORMAT
            ),
            FrameError::Damaged(what) => {
                write!(f, "this frame is damaged or was written under another name: {what}")
            }
            FrameError::TooLarge { length } => write!(
                f,
                "this frame's value claims {length} bytes, and {} are the most",
                Frame::MAX_VALUE
            ),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for Error {
    fn from(problem: FrameError) -> Error {
        Error::new(ErrorKind::Format, problem.to_string())
    }
}
