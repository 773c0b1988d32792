//! A topic that names a codec (`compression.type`) stores every batch under it. Done before the lock is taken: it costs more than all the rest.

use log_storage::AppendOrigin;
use model::record_batch::compression::CompressionError;
use model::record_batch::{Batches, recompress, verify_crc};

use super::PartitionHandle;

/// Bound of what a batch may inflate to on its way to another codec.
const INFLATED_LIMIT_BYTES: usize = 64 << 20;

impl PartitionHandle {
    /// Returns a client's batch under the topic's codec; `None` when it stays as it is, which a batch that the log will refuse does too.
    pub(super) fn recompressed(
        &self,
        bytes: &[u8],
        origin: AppendOrigin,
    ) -> Result<Option<Vec<u8>>, CompressionError> {
        let Some(wanted) = self.recompression.load_full() else { return Ok(None) };
        let mut batches = Batches::whole(bytes);
        let (Some(Ok(batch)), None) = (batches.next(), batches.next()) else { return Ok(None) };
        // The checksum is made anew: damage that the old one shows must not be covered by it.
        if origin != AppendOrigin::Client
            || batch.header.codec() == wanted.codec
            || verify_crc(batch.bytes).is_err()
        {
            return Ok(None);
        }
        recompress(batch, wanted.codec, wanted.level, INFLATED_LIMIT_BYTES).map(Some)
    }
}
