//! Where the file of this library lies.

use std::path::PathBuf;

use crate::error::{Error, Kind, Result};

/// The path of the file that this code was loaded from: `anomaly0.so` or its like, wherever it was copied.
#[cfg(unix)]
pub fn library_path() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;

    std::fs::canonicalize(std::ffi::OsStr::from_bytes(loaded_as()?.to_bytes())).ok()
}

/// Keeps the library in the process, whatever SQLite does with its handle.
#[cfg(unix)]
pub(super) fn stay_loaded() -> Result<()> {
    // The fuzz targets hold this code themselves, and no loader can take it away from them.
    if cfg!(fuzzing) {
        return Ok(());
    }
    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the name is that of a library that is loaded; the handle is kept by never closing it.
    let handle = loaded_as().map(|name| unsafe { libc::dlopen(name.as_ptr(), flags) });
    match handle {
        Some(handle) if !handle.is_null() => Ok(()),
        _ => Err(Error::new(
            Kind::Internal,
            "the extension cannot keep itself loaded; load it by its full path",
        )),
    }
}

/// The name under which the loader knows this library.
#[cfg(unix)]
fn loaded_as() -> Option<&'static std::ffi::CStr> {
    use std::ffi::CStr;
    use std::mem::MaybeUninit;

    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    let here: fn() -> Option<PathBuf> = library_path;
    // SAFETY: dladdr fills `info` when it returns non-zero; the name it gives stays valid while the library is loaded.
    unsafe {
        if libc::dladdr(here as *const libc::c_void, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        (!name.is_null()).then(|| CStr::from_ptr(name))
    }
}

/// The path of the file that this code was loaded from: `anomaly0.dll`, wherever it was copied.
#[cfg(windows)]
pub fn library_path() -> Option<PathBuf> {
    use std::ffi::OsString;
    use std::os::windows::ffi::OsStringExt;

    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, GetModuleFileNameW,
    };

    const LONGEST: usize = 32_768;
    let module = module(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT)?;
    let mut name = vec![0u16; LONGEST];
    // SAFETY: it writes at most as many units as it is told.
    let length = unsafe { GetModuleFileNameW(module, name.as_mut_ptr(), LONGEST as u32) };
    name.truncate(length as usize);
    (!name.is_empty()).then(|| PathBuf::from(OsString::from_wide(&name)))
}

/// Keeps the library in the process, whatever SQLite does with its handle.
#[cfg(windows)]
pub(super) fn stay_loaded() -> Result<()> {
    use windows_sys::Win32::System::LibraryLoader::GET_MODULE_HANDLE_EX_FLAG_PIN;

    let unpinned = || Error::new(Kind::Internal, "the extension cannot keep itself loaded");
    module(GET_MODULE_HANDLE_EX_FLAG_PIN).map(|_| ()).ok_or_else(unpinned)
}

/// The handle of the library that holds this code.
#[cfg(windows)]
fn module(flags: u32) -> Option<windows_sys::Win32::Foundation::HMODULE> {
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GetModuleHandleExW,
    };

    let here: fn() -> Option<PathBuf> = library_path;
    let mut module = std::ptr::null_mut();
    // SAFETY: the flag makes it take an address, and the handle goes where it may be written.
    let found = unsafe {
        GetModuleHandleExW(flags | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, here as *const u16, &mut module)
    };
    (found != 0).then_some(module)
}
