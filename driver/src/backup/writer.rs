//! Writes a backup, record by record. The caller moves the bytes.

use super::*;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// What has been written so far.
#[derive(Debug)]
pub struct Writer {
    sha256: Sha256,
    /// The number of the next record.
    nth: u64,
    rows: u64,
    bytes: u64,
}

impl Writer {
    /// The writer, and how the backup begins.
    pub fn begin(head: &Head) -> (Writer, Vec<u8>) {
        let mut writer = Writer { sha256: Sha256::new(), nth: 0, rows: 0, bytes: 0 };
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        let Head { cluster, node, taken_ms, applied } = head;
        let mut body = cluster.0.to_le_bytes().to_vec();
        let numbers = [
            node.0,
            *taken_ms,
            applied.position.index,
            applied.position.term,
            applied.position.chain,
            applied.at.0,
            applied.hash.0,
        ];
        numbers.iter().for_each(|number| body.extend_from_slice(&number.to_le_bytes()));
        push(&mut out, HEAD, 0, &body);
        writer.nth = 1;
        writer.sha256.update(&out);
        (writer, out)
    }

    /// Some more rows, ascending and behind those before. Together they must fit [`MOST_RECORD`].
    pub fn rows(&mut self, rows: &[(Bytes, Bytes)]) -> Vec<u8> {
        let mut body = Vec::with_capacity(rows.iter().map(|(key, value)| 8 + key.len() + value.len()).sum());
        for (key, value) in rows {
            body.extend_from_slice(&(key.len() as u32).to_le_bytes());
            body.extend_from_slice(&(value.len() as u32).to_le_bytes());
            body.extend_from_slice(key);
            body.extend_from_slice(value);
            self.bytes += (key.len() + value.len()) as u64;
        }
        self.rows += rows.len() as u64;
        let mut out = Vec::with_capacity(RECORD_HEAD + body.len());
        push(&mut out, ROWS, self.nth, &body);
        self.nth += 1;
        self.sha256.update(&out);
        out
    }

    /// How the backup ends.
    pub fn end(mut self) -> (Summary, Vec<u8>) {
        let mut body = [self.rows.to_le_bytes(), self.bytes.to_le_bytes()].concat();
        self.sha256.update(&body);
        let sha256: [u8; 32] = self.sha256.finalize().into();
        body.extend_from_slice(&sha256);
        let mut out = Vec::new();
        push(&mut out, END, self.nth, &body);
        (Summary { rows: self.rows, bytes: self.bytes, sha256 }, out)
    }
}

/// On the way: what was sent counts for nothing, and the backup begins anew behind this.
pub fn anew() -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, ANEW, 0, &[]);
    out
}

/// On the way: there is no more. `why` is for people.
pub fn failed(why: &str) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, FAILED, 0, why.as_bytes());
    out
}

fn push(out: &mut Vec<u8>, kind: u8, nth: u64, body: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&sum_of(kind, nth, body).to_le_bytes());
    out.extend_from_slice(body);
}
