//! Loaded modules. PKCS#11 knows one application per process, so each module is loaded and initialised once and stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use super::config::Module;
use super::error::Pkcs11Error;

/// Never finalised: another pool, or other code of this process, may be using the same module.
static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// Held while sessions are opened and keys made: SoftHSM 2.6.1 aborts the process when two threads list slots at once, and
/// fails when two make keys.
pub(super) static ALONE: Mutex<()> = Mutex::new(());

/// The module, ready for use.
pub(super) fn ready(module: Module) -> Result<Pkcs11, Pkcs11Error> {
    match module {
        Module::At(path) => load(&path),
        // Whoever loaded it decides how long it stays; every session holds it. A login initialises it, where nobody has.
        Module::Loaded(module) => Ok(module),
    }
}

/// The module at `path`, ready for use.
pub(super) fn load(path: &Path) -> Result<Pkcs11, Pkcs11Error> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(Pkcs11Error::module)?;
    initialise(&module)?;
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// Makes the module ready, which it may be already.
pub(super) fn initialise(module: &Pkcs11) -> Result<(), Pkcs11Error> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(Pkcs11Error::module(error)),
    }
}
