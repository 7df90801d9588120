//! The life of a socket file: who may open it, and who removes it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;

use tempfile::TempDir;
use transport_core::{
    Address, Connect, Listen, Listener, Policy, Transport as _, TransportError, Transports,
};
use transport_unix::{UnixConfig, UnixTransport};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory for sockets")
}

async fn listen(text: &str) -> Result<Box<dyn Listener>, TransportError> {
    listen_with(UnixTransport::new(), text).await
}

async fn listen_with(transport: UnixTransport, text: &str) -> Result<Box<dyn Listener>, TransportError> {
    let address: Address = text.parse().expect("an address");
    transport.listen(&address).await
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::symlink_metadata(path).expect("the socket file");
    assert!(metadata.file_type().is_socket());
    metadata.permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_socket_file_is_for_its_owner_only_by_default() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let _listener = listen(&format!("unix://{}", path.display())).await.unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn the_mode_in_the_address_is_honoured_whatever_the_umask_and_the_settings_are() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let address = format!("unix://{}?mode=0660", path.display());
    let transport = UnixTransport::with_config(UnixConfig::default().with_mode(0o640));
    let listener = listen_with(transport, &address).await.unwrap();
    assert_eq!(mode(&path), 0o660);
    assert_eq!(listener.local_address().to_string(), address);
}

#[tokio::test]
async fn the_mode_in_the_settings_counts_where_the_address_has_none() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let transport = UnixTransport::with_config(UnixConfig::default().with_mode(0o666));
    let _listener = listen_with(transport, &format!("unix://{}", path.display())).await.unwrap();
    assert_eq!(mode(&path), 0o666);
}

#[tokio::test]
async fn a_client_may_use_the_same_address_with_its_mode() {
    let directory = directory();
    let transports = Transports::new().with(UnixTransport::new());
    let address = format!("unix://{}/a.sock?mode=0660", directory.path().display());
    let listen = Listen::new(&transports, &address).policy(Policy::same_user());
    let mut server = listen.start().await.unwrap();
    let client = Connect::new(&transports, &address).server(Policy::same_user());
    assert!(client.await.is_ok() && server.accept().await.is_some());
}

#[tokio::test]
async fn a_mode_that_is_none_is_refused_before_there_is_a_file() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let error = listen(&format!("unix://{}?mode=rw", path.display())).await.err().unwrap();
    assert!(matches!(error, TransportError::Address { .. }), "{error:?}");
    assert!(!path.exists());
}

#[tokio::test]
async fn the_file_is_removed_when_the_listener_ends() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let listener = listen(&format!("unix://{}", path.display())).await.unwrap();
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn another_file_in_its_place_is_not_removed() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let listener = listen(&format!("unix://{}", path.display())).await.unwrap();
    // Moved, so that its inode is not free for the next file.
    fs::rename(&path, directory.path().join("moved.sock")).unwrap();
    let _another = StdListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
}

#[tokio::test]
async fn a_file_that_is_in_the_way_is_left_alone() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    fs::write(&path, "precious").unwrap();
    let error = listen(&format!("unix://{}", path.display())).await.err().unwrap();
    assert!(error.to_string().contains("a.sock"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_path_that_is_too_long_says_so_to_both_sides() {
    let address: Address = format!("unix:///{}", "a".repeat(200)).parse().unwrap();
    let transport = UnixTransport::new();
    let errors = [transport.connect(&address).await.err(), transport.listen(&address).await.err()];
    for error in errors {
        let error = error.unwrap().to_string();
        assert!(error.contains("its path has 201 bytes, a socket's may have 107"), "{error}");
    }
}

#[tokio::test]
async fn the_longest_path_that_fits_works() {
    let directory = directory();
    let room = 107 - directory.path().as_os_str().len() - 1;
    let path = directory.path().join("a".repeat(room));
    let address: Address = format!("unix://{}", path.display()).parse().unwrap();
    let listener = UnixTransport::new().listen(&address).await.unwrap();
    UnixTransport::new().connect(&address).await.unwrap();
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_path_with_odd_characters_is_percent_encoded() {
    let directory = directory();
    let address: Address =
        format!("unix://{}/a%20b%3Fc%25d%C3%A9", directory.path().display()).parse().unwrap();
    let listener = UnixTransport::new().listen(&address).await.unwrap();
    assert!(directory.path().join("a b?c%dé").exists());
    let again: Address = listener.local_address().to_string().parse().unwrap();
    UnixTransport::new().connect(&again).await.unwrap();
}

#[tokio::test]
async fn a_mode_for_an_abstract_name_is_refused_since_it_would_keep_nobody_out() {
    let address = format!("unix:@transport-unix-mode-{}?mode=0600", std::process::id());
    let error = listen(&address).await.err().expect("an abstract name has no mode");
    assert!(matches!(error, TransportError::Address { .. }), "{error:?}");
}

#[tokio::test]
async fn a_socket_that_a_server_left_behind_is_replaced() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    let address = format!("unix://{}", path.display());
    let listener = listen(&address).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(listener);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "neither socket nor lock is left");
}

#[tokio::test]
async fn a_socket_that_is_in_use_is_refused_and_never_stolen() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let address = format!("unix://{}", path.display());
    // One that knows nothing of our lock, and one of ours.
    let foreign = StdListener::bind(&path).unwrap();
    let problem = chain(listen(&address).await.err().unwrap());
    assert!(problem.ends_with("a server listens there"), "{problem}");
    drop(foreign);
    let _ours = listen(&address).await.unwrap();
    let problem = chain(listen(&address).await.err().unwrap());
    assert!(problem.ends_with("another server holds its lock file"), "{problem}");
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone_links_too() {
    let directory = directory();
    let (file, link, folder) =
        (directory.path().join("file"), directory.path().join("link"), directory.path().join("folder"));
    fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    fs::create_dir(&folder).unwrap();
    for path in [&file, &link, &folder] {
        let problem = chain(listen(&format!("unix://{}", path.display())).await.err().unwrap());
        assert!(problem.ends_with("no socket, so it is left alone"), "{problem}");
    }
    assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
    // Nor is a link followed where the lock belongs.
    let socket = directory.path().join("b.sock");
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), directory.path().join("b.sock.lock"))
        .unwrap();
    assert!(listen(&format!("unix://{}", socket.display())).await.is_err());
    assert!(!directory.path().join("elsewhere").exists());
}

#[tokio::test]
async fn a_folder_that_everyone_can_change_is_refused_unless_it_is_sticky() {
    let directory = directory();
    let address = format!("unix://{}/a.sock", directory.path().display());
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let problem = chain(listen(&address).await.err().unwrap());
    assert!(problem.contains("chmod +t"), "{problem}");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    listen(&address).await.unwrap();
}

#[tokio::test]
async fn the_folders_above_it_count_too() {
    let directory = directory();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let problem = chain(listen(&format!("unix://{}/a.sock", inner.display())).await.err().unwrap());
    assert!(problem.contains("everyone can replace files in"), "{problem}");
    // A link from a safe folder into it does not help.
    let safe = self::directory();
    std::os::unix::fs::symlink(&inner, safe.path().join("link")).unwrap();
    let problem =
        chain(listen(&format!("unix://{}/link/a.sock", safe.path().display())).await.err().unwrap());
    assert!(problem.contains("everyone can replace files in"), "{problem}");
    // Nor one in it to a safe folder.
    std::os::unix::fs::symlink(safe.path(), directory.path().join("link")).unwrap();
    let address = format!("unix://{}/link/a.sock", directory.path().display());
    let problem = chain(listen(&address).await.err().unwrap());
    assert!(problem.contains("everyone can replace files in"), "{problem}");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    listen(&address).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_a_group_can_change_is_refused_unless_the_socket_is_for_that_group() {
    let directory = directory();
    let address = format!("unix://{}/a.sock", directory.path().display());
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let gid = rustix::process::getegid().as_raw();
    let problem = chain(listen(&address).await.err().unwrap());
    assert!(problem.contains(&format!("the group {gid} can replace files in")), "{problem}");
    assert!(problem.ends_with(&format!("let the group have the socket with group={gid}")), "{problem}");
    let listener = listen(&format!("{address}?mode=0660&group={gid}")).await.unwrap();
    drop(listener);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1770)).unwrap();
    listen(&address).await.unwrap();
}

#[tokio::test]
async fn a_folder_of_another_user_is_refused_unless_that_user_gets_the_socket() {
    if !is_root() {
        return;
    }
    const OTHER: u32 = 54_321;
    let directory = directory();
    let address = format!("unix://{}/a.sock", directory.path().display());
    std::os::unix::fs::chown(directory.path(), Some(OTHER), None).unwrap();
    let problem = chain(listen(&address).await.err().unwrap());
    assert!(problem.ends_with("belongs to uid 54321, who could replace the socket"), "{problem}");
    listen(&format!("{address}?owner={OTHER}")).await.unwrap();
    // The uid of all who have no name here is nobody's.
    std::os::unix::fs::chown(directory.path(), Some(65534), None).unwrap();
    listen(&format!("{address}?owner=65534")).await.err().unwrap();
}

#[tokio::test]
async fn the_file_gets_the_owner_and_group_that_the_address_or_the_settings_name() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let owned = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let name = nix::unistd::Group::from_gid(gid.into()).unwrap().map_or(gid.to_string(), |group| group.name);
    let listener = listen(&format!("unix://{}?mode=0660&group={name}", path.display())).await.unwrap();
    assert_eq!((owned(&path), mode(&path)), ((uid, gid), 0o660));
    drop(listener);
    if !is_root() {
        return;
    }
    let address = format!("unix://{}?owner=54321&group=54322", path.display());
    let listener = listen(&address).await.unwrap();
    assert_eq!((owned(&path), mode(&path)), ((54_321, 54_322), 0o600));
    assert_eq!(listener.local_address().to_string(), address);
    drop(listener);
    assert!(!path.exists(), "it is removed although it belongs to another user");
    let config = UnixConfig::default().with_mode(0o620).with_owner("54323").with_group("54324");
    let transport = UnixTransport::with_config(config);
    let _listener = listen_with(transport, &format!("unix://{}?group=54325", path.display())).await.unwrap();
    assert_eq!((owned(&path), mode(&path)), ((54_323, 54_325), 0o620));
}

#[tokio::test]
async fn a_group_that_there_is_not_is_refused_before_there_is_a_file() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    let error = listen(&format!("unix://{}?group=no-such-group", path.display())).await.err().unwrap();
    assert!(error.to_string().ends_with("there is no group \"no-such-group\" on this host"), "{error}");
    assert!(!path.exists());
    let error = listen("unix:@transport-unix-group?group=root").await.err().unwrap();
    assert!(
        error.to_string().ends_with("an abstract name has no group: it would keep nobody out"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_servers_that_start_at_once_exactly_one_wins() {
    let directory = directory();
    let path = directory.path().join("a.sock");
    for round in 0..50 {
        // Every other time over a socket that was left behind.
        if round % 2 == 0 {
            drop(StdListener::bind(&path).unwrap());
        }
        let address = format!("unix://{}", path.display());
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let address = address.clone();
                tokio::spawn(async move { listen(&address).await.ok() })
            })
            .collect();
        let mut winners = Vec::new();
        for start in starts {
            winners.extend(start.await.unwrap());
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Says so, past the test harness's capture, when it is not: then the rest of a test is skipped.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        writeln!(std::io::stderr(), "skipped: needs root").expect("standard error");
    }
    root
}

/// An error with its causes.
fn chain(error: TransportError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
