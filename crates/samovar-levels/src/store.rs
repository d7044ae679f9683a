//! How blocks become bytes: a small head, and an Arrow record batch compressed with zstd.
//!
//! ```text
//! "SLB1" | length of the head, u32 LE | the head, postcard, zstd | Arrow IPC stream of one batch, zstd buffers
//! ```

use std::cell::RefCell;

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_schema::ArrowError;
use samovar_core::{Error, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: &[u8; 4] = b"SLB1";

/// More than any block's head takes; guards against a length that was never written by us.
const MAX_HEAD: usize = 256 << 20;

/// Blocks are small numbers in columns: higher levels take longer and save little.
const LEVEL: i32 = 1;

/// How an Arrow IPC stream ends.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// What zstd works in: more memory than most blocks take, and costly to make anew for each.
struct Room {
    head: zstd::bulk::Compressor<'static>,
    columns: IpcWriteContext,
}

thread_local! {
    static ROOM: RefCell<Option<Room>> = const { RefCell::new(None) };
}

/// Appends the stored form of a block.
pub(crate) fn encode<H: Serialize>(
    head: &H,
    batch: &RecordBatch,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let bad = |what: &str| Error::new(ErrorKind::Format, format!("encoding a block: {what}"));
    let head = postcard::to_stdvec(head).map_err(|e| bad("head").because(e))?;
    ROOM.with_borrow_mut(|room| {
        let Room { head: compressor, columns } = match room {
            Some(room) => room,
            none => none.insert(Room {
                head: zstd::bulk::Compressor::new(LEVEL).map_err(|e| bad("head").because(e))?,
                columns: IpcWriteContext::default(),
            }),
        };
        let head = compressor.compress(&head).map_err(|e| bad("head").because(e))?;
        let length = u32::try_from(head.len()).map_err(|e| bad("head").because(e))?;
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&head);
        write_stream(batch, columns, out).map_err(|e| bad("columns").because(e))
    })
}

/// What `StreamWriter` writes; that one makes its own room each time.
fn write_stream(
    batch: &RecordBatch,
    room: &mut IpcWriteContext,
    out: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::ZSTD))?
        .try_with_compression_level(Some(LEVEL))?;
    let (generator, mut texts) = (IpcDataGenerator::default(), DictionaryTracker::new(false));
    let schema = batch.schema();
    let schema = generator.schema_to_bytes_with_dictionary_tracker(&schema, &mut texts, &options);
    let (dictionaries, batch) = generator.encode(batch, &mut texts, &options, room)?;
    for message in [schema].into_iter().chain(dictionaries).chain([batch]) {
        write_message(&mut *out, message, &options)?;
    }
    out.extend_from_slice(&END_OF_STREAM);
    Ok(())
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
