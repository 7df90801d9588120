//! Who could put another socket in the place of ours: the folders above it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::access::Access;

/// Checks that nobody but this user, root and whom `access` names can replace what is at `path`: that every folder above
/// it belongs to one of them, and that others can write to it only where the sticky bit keeps them from replacing files.
///
/// A group may write to a folder when it is the one that may open the socket.
pub(crate) fn check(path: &Path, access: &Access) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let real = fs::canonicalize(folder)?;
    real.ancestors().try_for_each(|folder| check_one(folder, access))?;
    if real != folder {
        // A link on the way must not be someone else's, nor be replaceable.
        folder.ancestors().try_for_each(|folder| check_one(folder, access))?;
    }
    Ok(())
}

fn check_one(folder: &Path, access: &Access) -> io::Result<()> {
    const GROUP_WRITES: u32 = 0o020;
    const EVERYONE_WRITES: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let shown = folder.display();
    let metadata = fs::symlink_metadata(folder)?;
    let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    if !is_trusted(uid, access) {
        return Err(refused(format!("{shown} belongs to uid {uid}, who could replace the socket")));
    }
    // A link has a mode that means nothing.
    if metadata.file_type().is_symlink() || mode & STICKY != 0 {
        return Ok(());
    }
    if mode & EVERYONE_WRITES != 0 {
        return Err(refused(format!(
            "everyone can replace files in {shown}: chmod o-w {shown}, or chmod +t {shown}"
        )));
    }
    if mode & GROUP_WRITES != 0 && access.group.is_none_or(|group| group.as_raw() != gid) {
        let problem = format!(
            "the group {gid} can replace files in {shown}: chmod g-w {shown}, or chmod +t {shown}, or let the group have the socket with group={gid}"
        );
        return Err(refused(problem));
    }
    Ok(())
}

/// The overflow uid is that of all users without a name in this namespace: nobody in particular.
fn is_trusted(uid: u32, access: &Access) -> bool {
    const OVERFLOW: u32 = 65534;
    let named = access.owner.is_some_and(|owner| owner.as_raw() == uid);
    uid == 0 || (uid != OVERFLOW && (named || uid == rustix::process::geteuid().as_raw()))
}

fn refused(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, problem)
}
