//! Random bytes of the operating system.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::random::NoRandomness;

/// Fills a buffer with random bytes of the operating system.
#[inline]
pub(super) fn fill(out: &mut [u8]) -> Result<(), NoRandomness> {
    fill_by(system_call, out)
}

/// Fills a buffer by one call, which says how many bytes it wrote, and where that is not all by *ring*, which calls again
/// after a signal and reads `/dev/urandom` where the kernel has no such call.
#[inline]
fn fill_by(call: impl FnOnce(&mut [u8]) -> Option<usize>, out: &mut [u8]) -> Result<(), NoRandomness> {
    if call(out) == Some(out.len()) { Ok(()) } else { fill_by_ring(out) }
}

#[cold]
fn fill_by_ring(out: &mut [u8]) -> Result<(), NoRandomness> {
    SystemRandom::new().fill(out).map_err(|_| NoRandomness)
}

/// The `getrandom` that *ring* calls too, inlined where rustix calls the kernel itself: a processor that forgets in a system
/// call where functions return to guesses wrong afterwards, and the first return out of it took 62 ns where it was measured.
#[cfg(target_os = "linux")]
#[inline]
fn system_call(out: &mut [u8]) -> Option<usize> {
    rustix::rand::getrandom(out, rustix::rand::GetRandomFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
const fn system_call(_: &mut [u8]) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No byte of what is drawn is left as it was, in so many draws; the longest is more than the kernel gives in one piece
    /// whatever signals come.
    #[test]
    fn every_byte_is_drawn() {
        for length in [0, 1, 12, 32, 257, 100_000] {
            let mut seen = vec![false; length];
            for _ in 0..8 {
                let mut out = vec![0; length];
                fill(&mut out).unwrap();
                seen.iter_mut().zip(out).for_each(|(seen, byte)| *seen |= byte != 0);
            }
            assert!(seen.iter().all(|seen| *seen), "{length}");
        }
    }

    /// A call that a signal cut short, and one that there is not.
    #[test]
    fn what_a_call_left_open_is_filled() {
        for written in [None, Some(0), Some(31), Some(33)] {
            let mut out = [0; 32];
            fill_by(|_| written, &mut out).unwrap();
            assert_ne!(out, [0; 32], "{written:?}");
        }
        let mut out = [7; 32];
        fill_by(|out| Some(out.len()), &mut out).unwrap();
        assert_eq!(out, [7; 32], "a call that wrote everything is not made again");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_is_called_itself() {
        let mut out = [0; 32];
        assert_eq!(system_call(&mut out), Some(32));
        assert_ne!(out, [0; 32]);
    }
}
