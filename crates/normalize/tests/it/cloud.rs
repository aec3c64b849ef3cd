//! Cloud and identity services: what their records become, in the forms in which they arrive.

use crate::common;
use common::{assert_said, describe, normalizer, run};
use jiff::tz::TimeZone;

fn trail(event: &str, more: &str) -> String {
    format!(
        r#"{{"eventVersion":"1.11","eventTime":"2026-11-21T01:02:03Z","awsRegion":"ap-northeast-1","sourceIPAddress":"203.0.113.9","userIdentity":{{"type":"AssumedRole","principalId":"AROAX:tanaka@example.jp","arn":"arn:aws:sts::111122223333:assumed-role/Admin/tanaka@example.jp","sessionContext":{{"sessionIssuer":{{"userName":"Admin"}}}}}},"eventName":"{event}",{more}}}"#
    )
}

#[test]
fn what_happened_is_said_by_name() {
    let sign_in = |code: u32| {
        format!(
            r#"{{"createdDateTime":"2026-11-21T01:02:03Z","userPrincipalName":"sato@example.jp","appDisplayName":"Azure Portal","ipAddress":"203.0.113.9","status":{{"errorCode":{code}}}}}"#
        )
    };
    let kubernetes = |verb: &str, more: &str| {
        format!(
            r#"{{"auditID":"a","stage":"ResponseComplete","requestURI":"/x","verb":"{verb}","user":{{"username":"sato"}},"sourceIPs":["203.0.113.9","10.0.0.1"],"requestReceivedTimestamp":"2026-11-21T01:02:03Z",{more}}}"#
        )
    };
    let m365 = |more: &str| {
        format!(
            r#"{{"CreationTime":"2026-11-21T01:02:03","RecordType":1,"UserId":"sato@example.jp","ClientIP":"203.0.113.9",{more}}}"#
        )
    };
    let workspace = |application: &str, event: &str| {
        format!(
            r#"{{"id":{{"time":"2026-11-21T01:02:03Z","applicationName":"{application}"}},"actor":{{"email":"sato@example.jp"}},"ipAddress":"203.0.113.9","events":[{event}]}}"#
        )
    };
    let okta = |event: &str, more: &str| {
        format!(
            r#"{{"actor":{{"type":"User","alternateId":"sato@example.jp"}},"client":{{"ipAddress":"203.0.113.9"}},"published":"2026-11-21T01:02:03Z","uuid":"u","eventType":"{event}"{more}}}"#
        )
    };
    let events = [
        trail("GetObject", r#""eventSource":"s3.amazonaws.com","requestParameters":{"bucketName":"payroll","key":"2026.csv"}"#),
        trail("GetObject", r#""eventSource":"s3.amazonaws.com","errorCode":"AccessDenied","requestParameters":{"bucketName":"payroll","key":"2026.csv"}"#),
        trail("ConsoleLogin", r#""eventSource":"signin.amazonaws.com","errorMessage":"Failed authentication","responseElements":{"ConsoleLogin":"Failure"}"#),
        trail("ConsoleLogin", r#""eventSource":"signin.amazonaws.com","responseElements":{"ConsoleLogin":"Success"},"additionalEventData":{"MFAUsed":"No"}"#),
        trail("StopLogging", r#""eventSource":"cloudtrail.amazonaws.com","requestParameters":{"name":"main"}"#),
        trail("AssumeRole", r#""eventSource":"sts.amazonaws.com","requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/Deploy"}"#),
        trail("AttachUserPolicy", r#""eventSource":"iam.amazonaws.com","requestParameters":{"userName":"backup","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}"#),
        trail("AuthorizeSecurityGroupIngress", r#""eventSource":"ec2.amazonaws.com","requestParameters":{"groupId":"sg-1","ipPermissions":{"items":[{"fromPort":22,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}"#),
        trail("DescribeInstances", r#""eventSource":"ec2.amazonaws.com","errorCode":"Client.UnauthorizedOperation""#),
        trail("DescribeAlarms", r#""eventSource":"monitoring.amazonaws.com""#),
        "2 111122223333 eni-0a1 192.0.2.7 198.51.100.9 50000 443 6 20 4249 1795223600 1795223660 ACCEPT OK".into(),
        "2 111122223333 eni-0a1 - - - - - - - 1795223600 1795223660 - NODATA".into(),
        sign_in(0),
        sign_in(50074),
        sign_in(53003),
        sign_in(999),
        m365(r#""Operation":"FileDownloaded","Workload":"SharePoint","SourceFileName":"予算.xlsx","ObjectId":"https://example.jp/予算.xlsx""#),
        m365(r#""Operation":"UserLoginFailed","Workload":"AzureActiveDirectory","LogonError":"InvalidUserNameOrPassword""#),
        m365(r#""Operation":"Set-Mailbox","Workload":"Exchange","ResultStatus":"False","Parameters":[{"Name":"Identity","Value":"tanaka"}]"#),
        workspace("login", r#"{"name":"login_failure","parameters":[{"name":"login_failure_type","value":"login_failure_invalid_password"}]}"#),
        workspace("drive", r#"{"name":"download","parameters":[{"name":"doc_title","value":"予算"}]}"#),
        okta("user.mfa.factor.deactivate", r#","outcome":{"result":"SUCCESS"},"target":[{"displayName":"Tanaka Taro","type":"User"}]"#),
        okta("user.session.start", r#","outcome":{"result":"SUCCESS"}"#),
        okta("app.generic.x", r#","displayMessage":"Something new","outcome":{"result":"FAILURE","reason":"LOCKED_OUT"}"#),
        kubernetes("get", r#""objectRef":{"resource":"secrets","namespace":"prod","name":"db"},"responseStatus":{"code":403,"reason":"Forbidden"}"#),
        kubernetes("create", r#""objectRef":{"resource":"pods","namespace":"prod","name":"web-0","subresource":"exec"}"#),
        kubernetes("connect", r#""objectRef":{"resource":"nodes","name":"n1"}"#),
    ];
    let mut page = String::new();
    for event in &events {
        let read = describe(event.as_str());
        assert!(!["json.generic", "unknown"].contains(&&*read.dataset), "{event}");
        assert!(read.sentence_en.ends_with(|c: char| c != ':'), "{}", read.sentence_en);
        page.push_str(&format!("> {event}\n{}\n{}\n\n", read.sentence_ja, read.sentence_en));
    }
    assert_said("cloud.txt", &page);
}

#[test]
fn a_document_is_found_inside_its_envelope() {
    let trail = trail("StopLogging", r#""eventSource":"cloudtrail.amazonaws.com""#);
    let m365 = r#"{"CreationTime":"2026-11-21T01:02:03","Operation":"FileAccessed","Workload":"SharePoint","RecordType":6,"UserId":"sato@example.jp"}"#;
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    for (envelope, dataset) in [
        (
            format!(
                r#"{{"@timestamp":"2026-11-21T05:00:00Z","agent":{{"type":"filebeat"}},"message":{}}}"#,
                quoted(&trail)
            ),
            "cloud.aws_cloudtrail",
        ),
        (
            format!(r#"{{"id":"1","timestamp":1795240800000,"message":{}}}"#, quoted(&trail)),
            "cloud.aws_cloudtrail",
        ),
        (
            format!(
                r#"{{"CreationDate":"2026-11-21T05:00:00Z","UserIds":"x","Operations":"y","AuditData":{}}}"#,
                quoted(m365)
            ),
            "cloud.m365",
        ),
        (format!("<13>1 2026-11-21T05:00:00Z host app - - - {trail}"), "cloud.aws_cloudtrail"),
    ] {
        let read = describe(envelope.as_str());
        assert_eq!(read.dataset, dataset, "{envelope}");
        assert_eq!(read.timestamp.to_string(), "2026-11-21T01:02:03.000000Z", "{envelope}");
    }
    // What is only half a document inside leaves the envelope as it is.
    let read =
        describe(r#"{"@timestamp":"2026-11-21T05:00:00Z","message":"{\"eventVersion\":1,"}"#);
    assert_eq!(read.dataset, "json.generic");
    assert!(read.fields.iter().all(|(name, _)| name != "yagura.parse_error"), "{:?}", read.fields);
}

#[test]
fn times_that_are_said_to_be_utc_are() {
    let mut normalizer = normalizer();
    normalizer.set_default_zone(TimeZone::get("Asia/Tokyo").unwrap());
    let line = r#"{"CreationTime":"2026-11-21T01:02:03","Operation":"FileAccessed","Workload":"SharePoint","RecordType":6,"UserId":"x"}"#;
    let read = normalizer.describe(&run([line])).unwrap();
    assert_eq!(read.timestamp.to_string(), "2026-11-21T01:02:03.000000Z");
}
