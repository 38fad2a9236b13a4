//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

/// Encrypted backups of a folder or an SQLite database, and the proof that they restore.
#[derive(Debug, Parser)]
#[command(name = "phi-backup")]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Saves a folder or a database into a new folder.
    Backup {
        /// The folder of the keys; made when it does not exist. Keep it apart from the backups.
        #[arg(long)]
        keys: PathBuf,
        /// What to save: a folder, or one SQLite database.
        #[arg(long)]
        from: PathBuf,
        /// The folder to write, which must not exist.
        #[arg(long)]
        to: PathBuf,
        /// Leave tables of phi-keys out of the copies; databases that hold them are refused otherwise.
        #[arg(long)]
        without_key_tables: bool,
        /// Leave symbolic links out; a folder that holds one is refused otherwise.
        #[arg(long)]
        skip_links: bool,
    },
    /// Restores into a scratch folder, compares everything, measures the time, and removes it again.
    Drill {
        #[command(flatten)]
        recover: RecoverOptions,
        /// A folder that does not exist, where restored data would be as well protected.
        #[arg(long)]
        scratch: PathBuf,
    },
    /// Restores everything or nothing into a new folder.
    Restore {
        #[command(flatten)]
        recover: RecoverOptions,
        /// The folder to write, which must not exist.
        #[arg(long)]
        to: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RecoverOptions {
    /// The folder of the keys.
    #[arg(long)]
    pub(crate) keys: PathBuf,
    /// The backup.
    #[arg(long)]
    pub(crate) backup: PathBuf,
    /// Refuse any other backup than the one with this digest.
    #[arg(long)]
    pub(crate) expect: Option<Digest>,
}

/// Thirty-two bytes in hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

impl FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a digest has 64 hexadecimal digits";
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        for (number, byte) in digest.iter_mut().enumerate() {
            let pair = text.get(2 * number..2 * number + 2).ok_or(WRONG)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn digests_are_read_whole_or_not() {
        assert_eq!("ab".repeat(32).parse::<Digest>().unwrap().0, [0xab; 32]);
        for wrong in ["", "ab", &"ab".repeat(33), &"zz".repeat(32), &"+a".repeat(32)] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
