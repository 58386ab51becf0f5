//! What C passes in and gets out, checked. All raw pointers of arguments are met here.

use std::time::Duration;

use crate::error::Failure;

/// The bytes of an argument: null is allowed with length 0 only.
///
/// # Safety
/// `ptr` is null, or the start of `len` readable bytes that nobody writes while the answer lives.
pub(crate) unsafe fn bytes<'a>(ptr: *const u8, len: usize) -> Result<&'a [u8], Failure> {
    if len > isize::MAX as usize {
        return Err(Failure::invalid("a length above PTRDIFF_MAX"));
    }
    if ptr.is_null() {
        // A slice of a null pointer is undefined, of no bytes too.
        return if len == 0 { Ok(&[]) } else { Err(Failure::null()) };
    }
    // SAFETY: not null, no longer than an object can be, and readable as the caller promises.
    Ok(unsafe { std::slice::from_raw_parts(ptr, len) })
}

/// The path of an argument: bytes without zero, at least one.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn path<'a>(ptr: *const u8, len: usize) -> Result<&'a std::path::Path, Failure> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: as the caller promises.
    let path = unsafe { bytes(ptr, len) }?;
    if path.is_empty() || path.contains(&0) {
        return Err(Failure::invalid("a path that is empty, or holds a zero byte"));
    }
    Ok(std::ffi::OsStr::from_bytes(path).as_ref())
}

/// A place for an answer that must be there. It is written when all has gone well.
///
/// # Safety
/// `place` is null, or writable and aligned for a `T`, for as long as the answer lives.
pub(crate) unsafe fn out<'a, T: Plain>(place: *mut T) -> Result<&'a mut T, Failure> {
    // SAFETY: writable, aligned and, as any bytes make a `T`, readable.
    unsafe { place.as_mut() }.ok_or(Failure::null())
}

/// A place for a pointer that must be there. It is set to null at once.
///
/// # Safety
/// `place` is null, or writable and aligned for a pointer, for as long as the answer lives.
pub(crate) unsafe fn out_pointer<'a, T>(place: *mut *mut T) -> Result<&'a mut *mut T, Failure> {
    // SAFETY: as the caller promises.
    unsafe { out_pointer_or_null(place) }.ok_or(Failure::null())
}

/// As `out_pointer`, where the caller may not want it.
///
/// # Safety
/// As [`out_pointer`].
pub(crate) unsafe fn out_pointer_or_null<'a, T>(place: *mut *mut T) -> Option<&'a mut *mut T> {
    if place.is_null() {
        return None;
    }
    // SAFETY: writable and aligned, as the caller promises; what was there may be anything.
    unsafe { place.write(std::ptr::null_mut()) };
    // SAFETY: as above, and it holds a pointer now.
    unsafe { place.as_mut() }
}

/// A place for several answers: null is allowed if there is room for none.
///
/// # Safety
/// `place` is null, or aligned and the start of `cap` values that can be written for as long as the answer lives.
pub(crate) unsafe fn out_array<'a, T: Plain>(place: *mut T, cap: usize) -> Result<&'a mut [T], Failure> {
    if cap > isize::MAX as usize / size_of::<T>() {
        return Err(Failure::invalid("a length above PTRDIFF_MAX"));
    }
    if place.is_null() {
        return if cap == 0 { Ok(&mut []) } else { Err(Failure::null()) };
    }
    // SAFETY: not null, no longer than an object can be, writable as the caller promises, and any bytes make a `T`.
    Ok(unsafe { std::slice::from_raw_parts_mut(place, cap) })
}

/// A struct that any bytes are a value of: integers, pointers that are not followed, and structs of these.
///
/// # Safety
/// It is so.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: integers.
unsafe impl Plain for i32 {}
// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for i64 {}
// SAFETY: integers.
unsafe impl Plain for u64 {}
// SAFETY: integers.
unsafe impl Plain for usize {}
// SAFETY: an address that is not followed.
unsafe impl<T> Plain for *const T {}

/// A struct of options or answers whose first field is its size as the caller's header has it.
///
/// # Safety
/// It is `repr(C)`, its first field is a `usize`, it has no padding, and zero bytes are its default.
pub(crate) unsafe trait SizedStruct: Plain {
    /// Its size in the first release that had it. Fields are only appended.
    const SIZE_MIN: usize;
}

/// Options: defaults if null. A caller's larger struct is taken if what this library does not know is zero.
///
/// # Safety
/// `place` is null, or aligned and readable for as many bytes as its first field says.
pub(crate) unsafe fn options<T: SizedStruct>(place: *const T) -> Result<T, Failure> {
    // SAFETY: zero bytes are the default, and a value.
    let mut options: T = unsafe { std::mem::zeroed() };
    if place.is_null() {
        return Ok(options);
    }
    // SAFETY: the first field is readable.
    let size = unsafe { place.cast::<usize>().read() };
    check_size::<T>(size)?;
    // SAFETY: readable, as the size says.
    let given = unsafe { bytes(place.cast(), size) }?;
    let known = size.min(size_of::<T>());
    if given[known..].iter().any(|byte| *byte != 0) {
        return Err(Failure::unsupported("an option that this release does not know"));
    }
    // SAFETY: `options` has room for all of itself, and any bytes are a value.
    unsafe { std::ptr::copy_nonoverlapping(given.as_ptr(), (&raw mut options).cast(), known) };
    Ok(options)
}

/// Where an answer with a size goes: as much of it as the caller's header knows, and zeros for what this library does not.
pub(crate) struct SizedOut<T> {
    place: *mut T,
    size: usize,
}

/// # Safety
/// `place` is null, or aligned, and writable for as many bytes as its first field says.
pub(crate) unsafe fn sized_out<T: SizedStruct>(place: *mut T) -> Result<SizedOut<T>, Failure> {
    if place.is_null() {
        return Err(Failure::null());
    }
    // SAFETY: the first field is readable.
    let size = unsafe { place.cast::<usize>().read() };
    check_size::<T>(size)?;
    Ok(SizedOut { place, size })
}

impl<T: SizedStruct> SizedOut<T> {
    /// Fills it in, but for its first field.
    pub(crate) fn write(self, value: &T) {
        let first = size_of::<usize>();
        let known = self.size.min(size_of::<T>());
        // SAFETY: writable for `size` bytes, as was promised; `value` has `known` bytes and more.
        unsafe {
            let to = self.place.cast::<u8>();
            std::ptr::copy_nonoverlapping(
                std::ptr::from_ref(value).cast::<u8>().add(first),
                to.add(first),
                known - first,
            );
            std::ptr::write_bytes(to.add(known), 0, self.size - known);
        }
    }
}

/// Far more than any struct will ever have; a number above it is not a size.
const STRUCT_BYTES_MAX: usize = 4096;

fn check_size<T: SizedStruct>(size: usize) -> Result<(), Failure> {
    if size < T::SIZE_MIN {
        return Err(Failure::invalid("struct_size is smaller than the struct ever was"));
    }
    if size > STRUCT_BYTES_MAX {
        return Err(Failure::unsupported("struct_size is larger than any struct"));
    }
    Ok(())
}

/// A time limit in milliseconds: -1 is none.
pub(crate) fn timeout(ms: i64) -> Result<Option<Duration>, Failure> {
    match u64::try_from(ms) {
        Ok(ms) => Ok(Some(Duration::from_millis(ms))),
        Err(_) if ms == -1 => Ok(None),
        Err(_) => Err(Failure::invalid("a time limit below -1")),
    }
}

/// A length of time in milliseconds.
pub(crate) fn duration(ms: i64) -> Result<Duration, Failure> {
    u64::try_from(ms).map(Duration::from_millis).map_err(|_| Failure::invalid("a negative length of time"))
}

/// Refuses flags that do not exist.
pub(crate) fn check_flags(flags: u32, known: u32) -> Result<(), Failure> {
    if flags & !known == 0 { Ok(()) } else { Err(Failure::invalid("an unknown flag")) }
}

/// Refuses a reserved field that is set.
pub(crate) fn check_reserved(reserved: u32) -> Result<(), Failure> {
    if reserved == 0 { Ok(()) } else { Err(Failure::invalid("a reserved field that is not 0")) }
}

/// A number that cannot be negative.
pub(crate) fn unsigned(number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| Failure::invalid("a negative number"))
}

/// A count or revision, as C gets it.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
