//! No text that could lead a request elsewhere becomes a name, by whatever way.

use orchestratum_core::gitlab::{BranchName, CommitId, FilePath, ProjectPath, Username};

/// Each is tried as it is, and as a part of something ordinary.
const UNSAFE: [&str; 64] = [
    "..",
    "../",
    "/..",
    "../..",
    "../../users",
    "a/../b",
    "a/..",
    "./a",
    "a/./b",
    "a/.",
    ".",
    "/",
    "//",
    "/a",
    "//a",
    "a//b",
    "a/",
    "/etc/passwd",
    "\\",
    "a\\b",
    "..\\..",
    "C:\\a",
    "\\\\host\\share",
    "\0",
    "a\0b",
    "a.json\0.txt",
    "%2e%2e",
    "%2E%2E",
    "%2e%2e%2f",
    "..%2f",
    "%2e.",
    ".%2e/",
    "a%2fb",
    "a%2Fb",
    "a%5cb",
    "%00",
    "a%00",
    "%252e%252e%252f",
    "%252f",
    "%c0%ae",
    "%c0%af",
    "%u002e%2e",
    "?",
    "a?b=c",
    "?private_token=x",
    "#",
    "a#b",
    "a?#",
    "\n",
    "a\nb",
    "a\rb",
    "a\r\nHost: b",
    "\t",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{202e}txt",
    "a\u{2028}b",
    "a\u{2066}b",
    "\u{feff}a",
    "a/\u{200f}",
    "..;/\\",
    "....//",
    "",
];

fn with_surroundings(text: &str) -> [String; 4] {
    [
        text.to_owned(),
        format!("grp/{text}"),
        format!("grp/{text}/proj"),
        format!("{text}/proj"),
    ]
}

#[test]
fn no_unsafe_text_becomes_a_name() {
    for text in UNSAFE {
        for text in with_surroundings(text) {
            assert!(ProjectPath::new(&text).is_err(), "{text:?}");
            assert!(BranchName::new(&text).is_err(), "{text:?}");
            assert!(FilePath::new(&text).is_err(), "{text:?}");
            assert!(Username::new(&text).is_err() || text == "." || text == "..", "{text:?}");
            assert!(CommitId::new(&text).is_err(), "{text:?}");
        }
    }
}

#[test]
fn a_document_is_no_way_around_the_rules() {
    for text in UNSAFE {
        let document = serde_json::Value::from(text);
        assert!(
            serde_json::from_value::<FilePath>(document.clone()).is_err(),
            "{text:?}"
        );
        assert!(
            serde_json::from_value::<BranchName>(document.clone()).is_err(),
            "{text:?}"
        );
        assert!(serde_json::from_value::<ProjectPath>(document).is_err(), "{text:?}");
    }
    let path: FilePath = serde_json::from_str("\"a/b.json\"").expect("a path");
    assert_eq!(serde_json::to_string(&path).expect("a text"), "\"a/b.json\"");
}

#[test]
fn what_is_wrong_is_told_without_the_text() {
    for (text, told) in [
        ("a/../31337", "the path must not have a segment `.` or `..`"),
        ("/31337", "the path must not begin with a slash"),
        ("%2e31337", "the path must be given as it is, without percent-encoding"),
        ("31337\0", "the path must not have a NUL"),
    ] {
        assert_eq!(FilePath::new(text).expect_err(text).to_string(), told);
    }
}
