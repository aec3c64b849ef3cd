//! SigmaHQ's rules for cloud and identity services, each on a record of the kind it was written for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use yagura_detect::{Engine, LogSources, RuleFile, Ruleset};
use yagura_event::{CommittedRun, Record, StreamName, Transport};
use yagura_normalize::Normalizer;

const SOURCES: &str = include_str!("../../../content/logsources.toml");

fn corpora() -> Option<PathBuf> {
    match std::env::var_os("YAGURA_CORPORA") {
        Some(path) => Some(path.into()),
        None if std::env::var_os("CI").is_some() => panic!("set YAGURA_CORPORA"),
        None => {
            eprintln!("skipped: set YAGURA_CORPORA");
            None
        }
    }
}

fn collect(dir: &Path, rules: &mut Vec<RuleFile>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, rules);
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            let text = std::fs::read_to_string(&path).unwrap();
            rules.push(RuleFile { path: path.display().to_string(), text });
        }
    }
}

fn trail(more: &str) -> String {
    format!(
        r#"{{"eventVersion":"1.11","eventTime":"2026-11-21T01:02:03Z","awsRegion":"ap-northeast-1","sourceIPAddress":"203.0.113.9","eventID":"e-1",{more}}}"#
    )
}

fn activity(operation: &str) -> String {
    format!(
        r#"{{"time":"2026-11-21T01:02:03Z","resourceId":"/SUBSCRIPTIONS/S1/X","operationName":"{operation}","category":"Administrative","resultType":"Success","callerIpAddress":"203.0.113.9"}}"#
    )
}

fn sign_in(code: u32, more: &str) -> String {
    format!(
        r#"{{"time":"2026-11-21T01:02:03Z","operationName":"Sign-in activity","category":"SignInLogs","resultType":"{code}","callerIpAddress":"203.0.113.9","properties":{{"userPrincipalName":"tanaka@example.jp","appDisplayName":"Portal"{more}}}}}"#
    )
}

/// The same as Microsoft Graph answers it.
fn graph_sign_in(code: u32, more: &str) -> String {
    format!(
        r#"{{"id":"s-1","createdDateTime":"2026-11-21T01:02:03Z","userPrincipalName":"tanaka@example.jp","appDisplayName":"Portal","ipAddress":"203.0.113.9","status":{{"errorCode":{code}}}{more}}}"#
    )
}

fn audit(activity: &str, category: &str, more: &str) -> String {
    format!(
        r#"{{"time":"2026-11-21T01:02:03Z","operationName":"{activity}","category":"AuditLogs","properties":{{"category":"{category}","activityDisplayName":"{activity}","activityDateTime":"2026-11-21T01:02:03Z","loggedByService":"Core Directory"{more}}}}}"#
    )
}

fn workspace(application: &str, name: &str, parameters: &str) -> String {
    format!(
        r#"{{"kind":"admin#reports#activity","id":{{"time":"2026-11-21T01:02:03Z","applicationName":"{application}"}},"actor":{{"email":"admin@example.jp"}},"ipAddress":"203.0.113.9","events":[{{"type":"T","name":"{name}","parameters":[{parameters}]}}]}}"#
    )
}

fn okta(more: &str) -> String {
    format!(
        r#"{{"actor":{{"id":"1","type":"User","alternateId":"tanaka@example.jp"}},"published":"2026-11-21T01:02:03Z","uuid":"u-1",{more}}}"#
    )
}

fn kubernetes(verb: &str, resource: &str, more: &str) -> String {
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a-1","stage":"ResponseComplete","requestURI":"/api/v1/x","verb":"{verb}","user":{{"username":"tanaka"}},"objectRef":{{"resource":"{resource}","namespace":"prod"{more}}},"requestReceivedTimestamp":"2026-11-21T01:02:03Z","requestObject":{{"spec":{{"volumes":[{{"name":"a"}},{{"hostPath":{{"path":"/"}}}}]}}}}}}"#
    )
}

fn cases() -> Vec<(&'static str, String)> {
    let mut cases = vec![
        // AWS
        ("77caf516", trail(r#""eventSource":"signin.amazonaws.com","eventName":"ConsoleLogin","additionalEventData":{"MFAUsed":"No"},"responseElements":{"ConsoleLogin":"Success"}"#)),
        ("d2656e78", trail(r#""eventSource":"guardduty.amazonaws.com","eventName":"DeleteDetector""#)),
        ("0a5177f4", trail(r#""eventSource":"iam.amazonaws.com","eventName":"CreateAccessKey","userIdentity":{"arn":"arn:aws:iam::1:user/tanaka"}"#)),
        ("8ad1600d", trail(r#""eventSource":"iam.amazonaws.com","eventName":"ListUsers","eventType":"AwsApiCall","userIdentity":{"type":"Root"}"#)),
        ("78b3756a", trail(r#""eventSource":"s3.amazonaws.com","eventName":"PutBucketLogging""#)),
        // Azure
        ("512cf937", activity("MICROSOFT.NETWORK/AZUREFIREWALLS/DELETE")),
        ("09438caa", activity("MICROSOFT.AUTHORIZATION/ELEVATEACCESS/ACTION")),
        ("c1182e02", activity("MICROSOFT.STORAGE/STORAGEACCOUNTS/LISTKEYS/ACTION")),
        // Entra
        ("2b7d6fc0", sign_in(50053, "")),
        ("2b7d6fc0", graph_sign_in(50053, "")),
        ("9a60e676", sign_in(53003, "")),
        ("e40f4962", sign_in(500_121, r#","authenticationRequirement":"multiFactorAuthentication","status":{"additionalDetails":"MFA denied; user declined the authentication"}"#)),
        ("4f77e1d7", graph_sign_in(0, r#","deviceDetail":{"isCompliant":false}"#)),
        ("5afa454e", graph_sign_in(0, r#","resourceDisplayName":"Device Registration Service","conditionalAccessStatus":"success","authenticationRequirement":"singleFactorAuthentication""#)),
        ("9494bff8", audit("Set device registration policies", "Policy", "")),
        ("ebbeb024", audit("Add member to role", "RoleManagement", r#","targetResources":[{"type":"User","modifiedProperties":[{"displayName":"Role.DisplayName","newValue":"\"Global Administrator\""}]}]"#)),
        ("a6355fbe", audit("Add delegated permission grant", "ApplicationManagement", "")),
        ("0b4b72e3", audit("Invite external user", "UserManagement", r#","result":"failure""#)),
        ("b2572bf9", r#"{"riskEventType":"impossibleTravel","riskState":"atRisk","detectedDateTime":"2026-11-21T01:02:03Z","userPrincipalName":"tanaka@example.jp"}"#.to_owned()),
        // Microsoft 365
        ("60de9b57", r#"{"CreationTime":"2026-11-21T01:02:03","Operation":"Disable Strong Authentication.","Workload":"AzureActiveDirectory","RecordType":8,"UserId":"tanaka@example.jp"}"#.to_owned()),
        ("d7eab125", r#"{"CreationTime":"2026-11-21T01:02:03","Operation":"AlertTriggered","Name":"Impossible travel activity","Workload":"SecurityComplianceCenter","RecordType":40,"UserId":"x","ResultStatus":"Succeeded"}"#.to_owned()),
        // Google
        ("13f81a90", r#"{"protoPayload":{"serviceName":"iam.googleapis.com","methodName":"google.iam.admin.v1.serviceAccounts.delete"},"timestamp":"2026-11-21T01:02:03Z"}"#.to_owned()),
        ("32438676", r#"{"protoPayload":{"serviceName":"accesscontextmanager.googleapis.com","methodName":"x","authorizationInfo":[{"permission":"accesscontextmanager.accessPolicies.delete","granted":true}]},"timestamp":"2026-11-21T01:02:03Z"}"#.to_owned()),
        ("22f2fb54", workspace("admin", "CHANGE_APPLICATION_SETTING", r#"{"name":"SETTING_NAME","value":"ContextAwareAccess x"}"#)),
        ("780601d1", workspace("admin", "ENFORCE_STRONG_AUTHENTICATION", r#"{"name":"NEW_VALUE","value":"false"}"#)),
        ("eafe6f2b", workspace("login", "gov_attack_warning", "")),
        // Okta
        ("19951c21", okta(r#""eventType":"system.api_token.create","outcome":{"result":"SUCCESS"}"#)),
        ("50e068d7", okta(r#""eventType":"user.mfa.factor.reset_all""#)),
        ("9058ca8b", okta(r#""eventType":"x","debugContext":{"debugData":{"requestUri":"/admin/x"}},"securityContext":{"isProxy":true}"#)),
        // Repositories, containers, and others
        ("16a71777", r#"{"action":"repo.destroy","actor":"tanaka","_document_id":"d","created_at":1795222923000}"#.to_owned()),
        ("7215374a", r#"{"auditType":{"category":"Security","action":"Unauthorized access to a resource"},"author":{"name":"tanaka"},"timestamp":"2026-11-21T01:02:03Z"}"#.to_owned()),
        ("a1b0ca4e", kubernetes("create", "pods", r#","subresource":"exec""#)),
        ("402b955c", kubernetes("create", "pods", "")),
        ("eeb3e9e1", kubernetes("list", "secrets", "")),
        ("6f7e1c10", r#"{"event_type":"authentication","reason":"bypass_user","result":"success","factor":"not_available","txid":"t","timestamp":1795222923}"#.to_owned()),
        ("62fff148", r#"{"event_type_id":3,"event_timestamp":"2026-11-21 01:02:03 UTC","account_id":1,"user_name":"sato","actor_user_name":"tanaka"}"#.to_owned()),
    ];
    // Filebeat and CloudWatch Logs bring the record as a text.
    let (rule, inner) = cases[1].clone();
    let inner = serde_json::to_string(&inner).unwrap();
    cases.push((rule, format!(r#"{{"@timestamp":"2026-11-21T05:00:00Z","message":{inner}}}"#)));
    cases
}

#[test]
fn rules_for_cloud_services_fire_on_their_records() {
    let Some(corpora) = corpora() else { return };
    let mut rules = Vec::new();
    for folder in ["cloud", "application", "identity"] {
        collect(&corpora.join("sigma/rules").join(folder), &mut rules);
    }
    let sources = LogSources::from_toml(SOURCES).unwrap();
    let (ruleset, _) = Ruleset::compile(&rules, Normalizer::embedded_dictionary(), &sources);
    let mut engine = Engine::new(Arc::new(ruleset));
    let mut normalizer = Normalizer::new(Normalizer::embedded_dictionary()).unwrap();
    let mut silent = Vec::new();
    let cases = cases();
    for (rule, record) in &cases {
        normalizer.normalize(&CommittedRun {
            stream: StreamName::new("test").unwrap(),
            batch: 1,
            batch_salt: [0; 32],
            first_index: 0,
            records: vec![Record {
                received: "2026-11-22T00:00:00Z".parse().unwrap(),
                transport: Transport::Http,
                peer: "192.0.2.1".into(),
                identity: "none".into(),
                bytes: record.clone().into(),
            }],
        });
        let batches = normalizer.take_batches();
        let fired: BTreeSet<String> = batches
            .iter()
            .flat_map(|batch| engine.evaluate(batch))
            .map(|found| found.rule.id.clone())
            .collect();
        if &*batches[0].dataset == "json.generic" || !fired.iter().any(|id| id.starts_with(rule)) {
            silent.push(format!("{rule} in {}: {record}", batches[0].dataset));
        }
    }
    assert!(silent.is_empty(), "{} of {}:\n{}", silent.len(), cases.len(), silent.join("\n"));
}
