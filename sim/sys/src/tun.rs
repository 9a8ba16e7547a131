//! TUN devices: network interfaces whose IP packets this process reads and writes instead of a cable.
//! May not look into packets, and sets up nothing beyond the device: addresses and routes are the caller's.

use rustix::fs::OFlags;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

/// Where the kernel hands out devices.
const CLONE_DEVICE: &str = "/dev/net/tun";
/// Longest name of an interface, in bytes, with the zero that ends it (`IFNAMSIZ`).
const NAME_BYTES: usize = 16;
/// `_IOW('T', 202, int)`; the kernel reads and writes a whole `struct ifreq` all the same.
const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
/// IP packets, no Ethernet frames.
const IFF_TUN: i16 = 0x0001;
/// No four bytes in front of each packet.
const IFF_NO_PI: i16 = 0x1000;

/// `struct ifreq` of Linux on 64 bits, where its union takes 24 bytes; on 32 bits it takes 16, and the rest is spare.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_BYTES],
    flags: i16,
    rest: [u8; 22],
}

/// A TUN device of the network namespace in which it was opened. It stays attached when the interface is moved into
/// another namespace, and it is gone when this is dropped.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
}

impl Tun {
    /// Makes a device of this name, which no interface has yet. Reads and writes never block.
    ///
    /// # Errors
    /// When the name is empty, too long or not ASCII, when it is taken, or when this user may not make one: that takes
    /// `CAP_NET_ADMIN` in the network namespace and access to `/dev/net/tun`.
    pub fn open(name: &str) -> io::Result<Self> {
        if name.is_empty() || name.len() >= NAME_BYTES || !name.is_ascii() {
            let told = format!("{name:?} is no name of an interface: 1 to 15 ASCII characters");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
        }
        let nonblocking = c_int::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nonblocking)
            .open(CLONE_DEVICE)?;
        let mut request = InterfaceRequest {
            name: [0; NAME_BYTES],
            flags: IFF_TUN | IFF_NO_PI,
            rest: [0; 22],
        };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: TUNSETIFF takes a pointer to a `struct ifreq`, which it reads and writes and does not keep. The value
        // is that struct: `repr(C)`, of at least its size, all of it initialised and plain bytes, and borrowed for the
        // whole call.
        let set = unsafe { Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request) };
        // SAFETY: the descriptor is an open one of /dev/net/tun, whose driver defines TUNSETIFF as above.
        unsafe { ioctl(&file, set) }?;
        Ok(Self {
            file,
            name: name.to_owned(),
        })
    }

    /// Name of the interface.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one packet that the interface's namespace sent, cut off at the end of `buffer`; `None` if there is none now.
    ///
    /// # Errors
    /// When the device fails.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.file).read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands one packet to the interface's namespace.
    ///
    /// # Errors
    /// When it is not taken: the interface is down, its queue is full, or these bytes are no IP packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write(packet).map(drop)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<InterfaceRequest>(), 40);
        assert_eq!(TUNSETIFF, 0x4004_54ca);
    }

    #[test]
    fn names_that_no_interface_has_are_refused_before_the_kernel_sees_them() {
        for name in ["", "sixteen-letters-", "bär"] {
            let refused = Tun::open(name).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }
}
