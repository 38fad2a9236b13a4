//! Opening a session and logging in.

use core::cell::Cell;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use secrecy::SecretString;

use super::error::Pkcs11Error;
use super::module;

/// A logged-in session.
pub(super) struct Open {
    pub(super) session: Session,
    /// What the token can do.
    pub(super) offered: Vec<MechanismType>,
    /// Whether something is left in the session that must not stay there.
    spoiled: Cell<bool>,
}

impl Open {
    /// Says that the session holds what the token does not let go, so that it is to be closed instead of used again.
    pub(super) fn spoil(&self) {
        self.spoiled.set(true);
    }

    pub(super) const fn is_spoiled(&self) -> bool {
        self.spoiled.get()
    }

    /// Whether the session still exists and is logged in.
    pub(super) fn is_alive(&self) -> bool {
        let state = self.session.get_session_info().map(|info| info.session_state());
        matches!(state, Ok(SessionState::RwUser | SessionState::RoUser))
    }
}

pub(super) struct Login {
    module: Pkcs11,
    token: String,
    pin: SecretString,
    /// Why the PIN is not tried again. Held while logging in, so that sessions that start together try a wrong PIN once.
    refused: Mutex<Option<Pkcs11Error>>,
}

impl Login {
    pub(super) const fn new(module: Pkcs11, token: String, pin: SecretString) -> Self {
        Self { module, token, pin, refused: Mutex::new(None) }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Opens a session and logs in.
    pub(super) fn open(&self) -> Result<Open, Pkcs11Error> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &*refused {
            return Err(error.clone());
        }
        // A token that is inserted again may be in another slot. Read-write, because read-only sessions make no keys.
        let _alone = module::ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // Other code of this process may have finalised the module.
        module::initialise(&self.module)?;
        let slot = self.slot()?;
        let session = self.module.open_rw_session(slot)?;
        match session.login(UserType::User, Some(&self.pin)) {
            // Being logged in belongs to the process and the token, not to the session.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                Ok(Open { session, offered: self.module.get_mechanism_list(slot)?, spoiled: Cell::new(false) })
            }
            Err(error) => {
                let error = Pkcs11Error::from(error);
                if matches!(error, Pkcs11Error::PinRefused | Pkcs11Error::PinLocked) {
                    *refused = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    fn slot(&self) -> Result<Slot, Pkcs11Error> {
        let mut found = None;
        for slot in self.module.get_slots_with_initialized_token()? {
            // A token that is pulled out between the two calls is not the one that is looked for.
            let Ok(token) = self.module.get_token_info(slot) else { continue };
            if token.label() == self.token && found.replace(slot).is_some() {
                return Err(Pkcs11Error::TokenAmbiguous);
            }
        }
        found.ok_or(Pkcs11Error::TokenMissing)
    }
}
