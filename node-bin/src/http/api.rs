//! The description of the API (OpenAPI 3.1), made from the routes' own types. `GET /openapi.json` serves it, and docs/openapi.json keeps it.
//!
//! Each handler says its path, its body and its answers, and the problems that are its own. What follows from rules that hold for all is added here: parameters in paths, the
//! Idempotency-Key, and the problems that any such request may meet. Tests hold the description to the routes, to the answers of docs/API.md, and to the file.

use super::kinds::{KINDS, Kind};
use super::{
    backup, client, cluster, export, messages, operators, people, problem, rooms, schema, sessions, settings, stream, view,
    watching,
};
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tertulia",
        description = "A replicated group chat. Any node answers anything; docs/API.md shows each route at work."
    ),
    paths(
        sessions::sign_in,
        sessions::sign_out_all,
        sessions::sign_out,
        sessions::devices,
        sessions::name_device,
        people::me,
        people::profile,
        people::delete,
        people::password,
        export::export,
        people::user,
        people::invite,
        people::revoke,
        people::friends,
        people::befriend,
        people::unfriend,
        people::block,
        people::unblock,
        rooms::list,
        rooms::create,
        rooms::direct,
        rooms::show,
        rooms::change,
        rooms::delete,
        rooms::join,
        rooms::leave,
        rooms::decline,
        rooms::typing,
        rooms::members,
        rooms::invite,
        rooms::role,
        rooms::kick,
        rooms::ban,
        rooms::unban,
        rooms::mute,
        rooms::unmute,
        messages::history,
        messages::post,
        messages::tentative,
        messages::one,
        messages::edit,
        messages::delete,
        messages::thread,
        messages::react,
        messages::unreact,
        messages::pin,
        messages::unpin,
        messages::read,
        messages::search,
        settings::show,
        settings::put,
        settings::add_admin,
        settings::remove_admin,
        stream::open,
        client::open,
        watching::vitals,
        watching::stream,
        cluster::cluster,
        cluster::healthz,
        cluster::readyz,
        cluster::metrics,
        openapi,
        operators::join,
        operators::remove,
        operators::promote,
        operators::voters,
        operators::transfer,
        operators::succession,
        operators::configure,
        backup::stream,
    ),
    components(schemas(problem::Shape, view::Frame, stream::ClientFrame, schema::Settings))
)]
struct Described;

/// This description.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Value)), security(()))]
pub async fn openapi() -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    (headers, TEXT.get_or_init(text).as_str())
}

/// The description as it is served and kept.
fn text() -> String {
    format!("{:#}\n", document())
}

fn document() -> Value {
    let mut document = json!(Described::openapi());
    document["info"]["license"] = json!({"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"});
    document["servers"] = json!([{"url": "/", "description": "the node that serves this; every other one answers alike"}]);
    document["security"] = json!([{"session": []}]);
    document["components"]["securitySchemes"] = json!({
        "session": {"type": "http", "scheme": "bearer", "description": "The token of a session: 64 hexadecimal digits."},
        "operator": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "Tertulia time=SECONDS, nonce=32 HEX, mac=64 HEX: shows that the asker knows the cluster's secret, and is made for one request. `node add` and its like send it.",
        },
    });
    document["components"]["parameters"] = parameters();
    document["components"]["headers"] = json!({
        "RetryAfter": {"description": "Seconds after which the same request, with the same key, may succeed.", "schema": {"type": "integer"}, "required": true},
    });
    let schemas = document["components"]["schemas"].clone();
    let mut shared = Shared::default();
    for (path, methods) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            complete(path, method, operation);
            for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
                if response["description"].as_str().is_none_or(str::is_empty) {
                    response["description"] = described(response, &schemas);
                }
                shared.share(status, response);
            }
        }
    }
    document["components"]["responses"] = Value::Object(shared.all);
    document
}

/// What stands in an answer, in the words of its schema.
fn described(response: &Value, schemas: &Value) -> Value {
    let name = response["content"]["application/json"]["schema"]["$ref"].as_str().and_then(|name| name.rsplit('/').next());
    let text = name.and_then(|name| schemas[name]["description"].as_str().or(Some(name)));
    json!(text.unwrap_or("The answer."))
}

/// Refusals that several routes have in common, each written once.
#[derive(Default)]
struct Shared {
    all: Map<String, Value>,
    names: BTreeMap<String, String>,
}

impl Shared {
    fn share(&mut self, status: &str, response: &mut Value) {
        let content = &response["content"];
        if content.get("application/problem+json").is_none() || content.as_object().is_none_or(|all| all.len() > 1) {
            return;
        }
        let count = self.names.values().filter(|name| name.starts_with(&format!("Problem{status}"))).count();
        let name = self.names.entry(response.to_string()).or_insert_with(|| format!("Problem{status}.{}", count + 1)).clone();
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        self.all.insert(name, std::mem::replace(response, reference));
    }
}

/// Names in paths, and the header of whatever changes something.
fn parameters() -> Value {
    let mut all = Map::new();
    for (name, means) in [
        ("room", "A room's id (digits), or its name."),
        ("user", "A user's id (digits), or its name."),
        ("seq", "A message's place in its room."),
        ("emoji", "An emoji, or a short word."),
        ("code", "An invitation's code."),
        ("session", "A session's id, or `current`."),
        ("id", "A node's id."),
    ] {
        let schema =
            if matches!(name, "seq" | "id") { json!({"type": "integer", "minimum": 1}) } else { json!({"type": "string"}) };
        all.insert(name.into(), json!({"name": name, "in": "path", "required": true, "description": means, "schema": schema}));
    }
    let key = "1 to 255 bytes. A request with the same key, from the same session, is executed once, however often and wherever it is sent.";
    all.insert(
        "IdempotencyKey".into(),
        json!({"name": "Idempotency-Key", "in": "header", "description": key, "schema": {"type": "string", "minLength": 1, "maxLength": 255}}),
    );
    let secret_key = "16 to 255 bytes, drawn at random: whoever repeats the request with it is given the same session.";
    all.insert(
        "SecretIdempotencyKey".into(),
        json!({"name": "Idempotency-Key", "in": "header", "description": secret_key, "schema": {"type": "string", "minLength": 16, "maxLength": 255}}),
    );
    Value::Object(all)
}

const SIGN_IN: &str = "/api/v1/sessions";

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    Anybody,
    Session,
    Operator,
}

fn asker(operation: &Value) -> Asker {
    match operation["security"][0].as_object() {
        None => Asker::Session,
        Some(scheme) if scheme.contains_key("session") => Asker::Session,
        Some(scheme) if scheme.contains_key("operator") => Asker::Operator,
        Some(_) => Asker::Anybody,
    }
}

/// Adds to an operation what follows from its path, its method and who asks.
fn complete(path: &str, method: &str, operation: &mut Value) {
    let names = path.split(['{', '}']).skip(1).step_by(2);
    let words = path.trim_start_matches("/api/v1").split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
    operation["operationId"] = json!(std::iter::once(method).chain(words).collect::<Vec<_>>().join("_"));
    let asker = asker(operation);
    let changes = method != "get";
    let mut parameters: Vec<Value> = names.map(|name| json!({"$ref": format!("#/components/parameters/{name}")})).collect();
    if changes && asker == Asker::Session {
        parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
    } else if path == SIGN_IN && method == "post" {
        parameters.push(json!({"$ref": "#/components/parameters/SecretIdempotencyKey"}));
    }
    parameters.extend(operation["parameters"].as_array().into_iter().flatten().cloned());
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    operation["tags"] = json!([tag(path)]);
    let own: Vec<String> = serde_json::from_value(operation["x-problems"].take()).unwrap_or_default();
    if let Some(fields) = operation.as_object_mut() {
        fields.remove("x-problems");
    }
    let all = problems(path, changes, asker, operation, &own);
    refuse(operation, &all);
}

fn tag(path: &str) -> &'static str {
    match path.trim_start_matches("/api/v1/").split('/').next() {
        Some("sessions" | "me" | "invites") => "account",
        Some("users" | "friends" | "blocks") => "people",
        Some("rooms" | "direct") if path.contains("/messages") || path.contains("/pins") || path.contains("/tentative") => {
            "messages"
        }
        Some("rooms" | "direct") => "rooms",
        Some("search" | "stream") => "messages",
        Some("settings" | "admins") => "settings",
        Some("cluster") => "cluster",
        _ => "node",
    }
}

/// Names of the problems that such a request may meet.
fn problems(path: &str, changes: bool, asker: Asker, operation: &Value, own: &[String]) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = own.iter().cloned().collect();
    let mut add = |names: &[&str]| all.extend(names.iter().map(|name| (*name).to_owned()));
    if path.starts_with("/api/") {
        add(&["stopping", "stalled", "too-many-connections", "unknown-outcome", "busy", "no-leader", "internal"]);
    }
    match asker {
        Asker::Session => add(&["not-signed-in", "unknown-session", "logged-out"]),
        Asker::Operator => add(&[
            "operator-unknown",
            "operator-wrong-secret",
            "operator-clock",
            "operator-replay",
            "origin-not-allowed",
            "refused",
            "pending",
            "bad-request",
        ]),
        Asker::Anybody => {}
    }
    if operation.get("requestBody").is_some() {
        add(&["bad-request", "body-too-large", "unsupported-media-type"]);
    }
    if operation.get("parameters").is_some() {
        add(&["bad-request"]);
    }
    if changes && asker == Asker::Session {
        add(&["key-reused", "key-expired", "too-often", "too-many-keys"]);
    }
    if path.contains("{user}") {
        add(&["unknown-user"]);
    }
    if path.contains("{seq}") {
        add(&["unknown-message"]);
    }
    if path.contains("{room}") {
        add(&["unknown-room", "not-a-member"]);
        if changes {
            add(&["not-allowed", "archived"]);
        }
    }
    all
}

/// Says which problems there are, by status.
fn refuse(operation: &mut Value, names: &BTreeSet<String>) {
    let mut by_status: BTreeMap<u16, Vec<&Kind>> = BTreeMap::new();
    for kind in KINDS.iter().filter(|kind| names.contains(kind.name)) {
        by_status.entry(kind.status).or_default().push(kind);
    }
    // Of those that there are with two statuses: signing in is refused with 401, and whoever is signed in with 403.
    let signs_in = operation["operationId"] == "post_sessions";
    for (status, kinds) in by_status {
        let kinds = kinds.into_iter().filter(|kind| kind.name != "wrong-password" || (kind.status == 401) == signs_in);
        let kinds: Vec<&Kind> = kinds.collect();
        if kinds.is_empty() {
            continue;
        }
        let means: Vec<String> = kinds.iter().map(|kind| format!("- `{}`: {}", kind.name, kind.means)).collect();
        let types: Vec<String> = kinds.iter().map(|kind| format!("urn:tertulia:{}", kind.name)).collect();
        let problem = json!({"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"type": {"enum": types}}}]});
        let response = &mut operation["responses"][status.to_string()];
        if response.is_null() {
            *response = json!({"description": "", "content": {}});
        }
        let before = response["description"].as_str().filter(|text| !text.is_empty()).map(|text| format!("{text}\n"));
        response["description"] = json!(before.unwrap_or_default() + &means.join("\n"));
        response["content"]["application/problem+json"] = json!({"schema": problem});
        if matches!(status, 429 | 503) {
            response["headers"] = json!({"Retry-After": {"$ref": "#/components/headers/RetryAfter"}});
        }
    }
}

#[cfg(test)]
mod tests;
