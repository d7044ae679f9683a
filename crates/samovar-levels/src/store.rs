//! How blocks become bytes: a small head, and an Arrow record batch compressed with zstd.
//!
//! ```text
//! "SLB1" | length of the head, u32 LE | the head, postcard, zstd | Arrow IPC stream of one batch, zstd buffers
//! ```

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use samovar_core::{Error, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: &[u8; 4] = b"SLB1";

/// More than any block's head takes; guards against a length that was never written by us.
const MAX_HEAD: usize = 256 << 20;

/// Appends the stored form of a block.
pub(crate) fn encode<H: Serialize>(
    head: &H,
    batch: &RecordBatch,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let bad = |what: &str| Error::new(ErrorKind::Format, format!("encoding a block: {what}"));
    let head = postcard::to_stdvec(head).map_err(|e| bad("head").because(e))?;
    let head = zstd::bulk::compress(&head, 1).map_err(|e| bad("head").because(e))?;
    let length = u32::try_from(head.len()).map_err(|e| bad("head").because(e))?;
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&head);
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::ZSTD))
        .map_err(|e| bad("columns").because(e))?;
    let mut writer = StreamWriter::try_new_with_options(out, &batch.schema(), options)
        .map_err(|e| bad("columns").because(e))?;
    writer.write(batch).and_then(|()| writer.finish()).map_err(|e| bad("columns").because(e))
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode<H: DeserializeOwned>(bytes: &[u8]) -> Result<(H, RecordBatch), Error> {
    let bad = |what: &str| {
        Error::new(ErrorKind::Format, format!("a stored block is not readable: {what}"))
    };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| bad("another format"))?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| bad("cut off"))?;
    let (head, columns) = rest
        .split_at_checked(u32::from_le_bytes(*length) as usize)
        .ok_or_else(|| bad("cut off"))?;
    let head = zstd::stream::decode_all(head).map_err(|e| bad("head").because(e))?;
    if head.len() > MAX_HEAD {
        return Err(bad("head too long"));
    }
    let head = postcard::from_bytes(&head).map_err(|e| bad("head").because(e))?;
    let batch = StreamReader::try_new(columns, None)
        .and_then(|mut reader| reader.next().transpose())
        .map_err(|e| bad("columns").because(e))?
        .ok_or_else(|| bad("no columns"))?;
    Ok((head, batch))
}
