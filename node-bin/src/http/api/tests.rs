use super::super::tests::{Fake, app, operator_proof};
use super::super::{router, routes};
use super::*;
use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

/// Paths and methods that are described, in lower case.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let document = document();
    let methods = |methods: &Value| methods.as_object().unwrap().keys().cloned().collect();
    document["paths"].as_object().unwrap().iter().map(|(path, all)| (path.clone(), methods(all))).collect()
}

#[tokio::test]
async fn each_route_is_described_and_each_description_has_its_route() {
    let app = app(&Fake::default());
    let described = described();
    let paths: BTreeSet<&String> = described.keys().collect();
    let routes = routes(&app);
    assert_eq!(paths, routes.paths().iter().collect::<BTreeSet<_>>());
    let router = router(app);
    for (path, methods) in &described {
        // A method that no route takes is answered with those that this one takes.
        let path = path.replace(['{', '}'], "");
        let request = Request::builder().method("BREW").uri(&path).header("authorization", operator_proof("BREW", &path, b""));
        let answered = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answered.status(), 405, "{path}");
        let allowed = answered.headers()["allow"].to_str().unwrap().to_ascii_lowercase();
        let allowed: BTreeSet<String> =
            allowed.split(',').map(|method| method.trim().to_owned()).filter(|it| it != "head").collect();
        assert_eq!(&allowed, methods, "{path}");
    }
}

#[test]
fn the_description_is_whole() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method} {path} has no summary");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status < &"300".to_owned()), "{method} {path} has no answer");
            for (status, response) in responses {
                let shared = response["$ref"].as_str().and_then(|name| document.pointer(name.trim_start_matches('#')));
                let response = shared.unwrap_or(response);
                assert!(response["description"].is_string(), "{method} {path} {status}");
                let later = matches!(status.as_str(), "429" | "503") && path.starts_with("/api/");
                assert_eq!(response.get("headers").is_some(), later, "{method} {path} {status}: Retry-After");
            }
        }
    }
    let mut dangling = Vec::new();
    each_reference(&document, &mut |reference| {
        if document.pointer(reference.trim_start_matches('#')).is_none() {
            dangling.push(reference.to_owned());
        }
    });
    assert!(dangling.is_empty(), "{dangling:?}");
}

fn each_reference(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(reference) if name == "$ref" => found(reference),
                    field => each_reference(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_reference(item, found)),
        _ => {}
    }
}

#[test]
fn what_a_route_names_as_its_own_problems_are_problems() {
    for (path, methods) in json!(Described::openapi())["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for name in operation["x-problems"].as_array().into_iter().flatten() {
                assert!(KINDS.iter().any(|kind| kind.name == name), "{method} {path}: {name}");
            }
        }
    }
}

#[test]
fn the_file_is_what_nodes_serve() {
    if std::env::var_os("TERTULIA_WRITE").is_some() {
        std::fs::write(FILE, text()).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(kept == text(), "docs/openapi.json is old: run this test with TERTULIA_WRITE=1");
}
