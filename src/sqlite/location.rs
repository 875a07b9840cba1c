//! Where the file of this library lies.

use std::path::PathBuf;

/// The path of the file that this code was loaded from: `anomaly0.so` or its like, wherever it was copied.
#[cfg(unix)]
pub fn library_path() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr};
    use std::mem::MaybeUninit;
    use std::os::unix::ffi::OsStrExt;

    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    let here: fn() -> Option<PathBuf> = library_path;
    // SAFETY: dladdr fills `info` when it returns non-zero; the name it gives stays valid while the library is loaded.
    let name = unsafe {
        if libc::dladdr(here as *const libc::c_void, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        if name.is_null() {
            return None;
        }
        CStr::from_ptr(name)
    };
    std::fs::canonicalize(OsStr::from_bytes(name.to_bytes())).ok()
}

/// The path of the file that this code was loaded from: `anomaly0.dll`, wherever it was copied.
#[cfg(windows)]
pub fn library_path() -> Option<PathBuf> {
    use std::ffi::OsString;
    use std::os::windows::ffi::OsStringExt;
    use std::ptr;

    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
        GetModuleFileNameW, GetModuleHandleExW,
    };

    const LONGEST: usize = 32_768;
    let here: fn() -> Option<PathBuf> = library_path;
    let mut module = ptr::null_mut();
    let mut name = vec![0u16; LONGEST];
    // SAFETY: the flags make the first call take an address; the second writes at most as many units as it is told.
    let length = unsafe {
        let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
        if GetModuleHandleExW(flags, here as *const u16, &mut module) == 0 {
            return None;
        }
        GetModuleFileNameW(module, name.as_mut_ptr(), LONGEST as u32)
    };
    name.truncate(length as usize);
    (!name.is_empty()).then(|| PathBuf::from(OsString::from_wide(&name)))
}
