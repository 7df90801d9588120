//! Python's ssl module, both sides in memory.

use interop::has_program;

use crate::set_up::{FAST, Folder, Mutual};

#[test]
fn python_takes_our_files_on_both_sides_of_a_mutual_handshake() {
    if !has_program("python3") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/tls_files.py");
    for algorithm in FAST {
        let folder = Folder::new();
        let mutual = Mutual::new(algorithm);
        mutual.write(&folder);
        let said = folder.run(&format!("python3 -B {script} ca.pem server.pem client.pem localhost"));
        assert!(said.contains("alice"), "{algorithm}: {said}");
        let (went_well, said) =
            folder.try_run(&format!("python3 -B {script} ca.pem server.pem client.pem example.org"));
        assert!(!went_well && said.contains("Hostname mismatch"), "{algorithm}: {said}");
        let (went_well, said) =
            folder.try_run(&format!("python3 -B {script} ca.pem client.pem client.pem alice"));
        assert!(!went_well && said.contains("unsuitable certificate purpose"), "{algorithm}: {said}");
    }
}
