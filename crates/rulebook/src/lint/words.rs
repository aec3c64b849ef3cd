//! Problems in Japanese, by kind.

/// Kinds that are reported: those that mean something for rules of Sigma 2.1 as we use them.
pub(super) fn is_ours(code: &str) -> bool {
    phrase(code).is_some()
}

/// What is wrong, in Japanese, with the detail as it came.
pub(super) fn japanese(code: &str, detail: &str) -> String {
    match phrase(code) {
        Some(phrase) => format!("{phrase}（{detail}）"),
        None => detail.to_owned(),
    }
}

fn phrase(code: &str) -> Option<&'static str> {
    Some(match code {
        "refused" => "このルールは使えません",
        "missing_id" => "IDがありません。アラートや例外から長く参照できません",
        "unused_selection" => "条件のどこからも使われていない selection です",
        "never_holds" => "条件が成り立つことはありません",
        "always_holds" => "すべてのイベントで条件が成り立ちます",
        "bad_attack_tag" => "ATT&CKのタグの書き方が違います",
        "filter_without_rules" => "フィルターの対象になるルールがありません",
        "filter_misses_rule" => "フィルターが指すルールがありません",
        "yaml_parse_error" => "YAMLとして読めません",
        "not_a_mapping" => "YAMLの文書がマッピングではありません",
        "missing_title" | "empty_title" => "titleがありません",
        "title_too_long" => "titleが長すぎます",
        "missing_description" => "descriptionがありません",
        "missing_author" => "authorがありません",
        "invalid_id" => "idがUUIDではありません",
        "invalid_status" => "statusの値が違います",
        "missing_level" => "levelがありません",
        "invalid_level" => "levelの値が違います",
        "invalid_date" => "dateがYYYY-MM-DD形式の日付ではありません",
        "invalid_modified" => "modifiedがYYYY-MM-DD形式の日付ではありません",
        "modified_before_date" => "modifiedがdateより前です",
        "description_too_long" => "descriptionが長すぎます",
        "name_too_long" => "nameが長すぎます",
        "taxonomy_too_long" => "taxonomyが長すぎます",
        "non_lowercase_key" => "キーが小文字ではありません",
        "missing_logsource" => "logsourceがありません",
        "missing_detection" => "detectionがありません",
        "missing_condition" => "conditionがありません",
        "empty_detection" => "detectionにselectionがありません",
        "invalid_related_type" => "relatedのtypeの値が違います",
        "invalid_related_id" => "relatedのidがUUIDではありません",
        "related_missing_required" => "relatedにidかtypeがありません",
        "deprecated_without_related" => "廃止されたルールに後継（related）がありません",
        "invalid_tag" => "タグの書き方が違います",
        "unknown_tag_namespace" => "タグの名前空間が知られていません",
        "duplicate_tags" => "タグが重複しています",
        "duplicate_references" => "referencesが重複しています",
        "duplicate_fields" => "fieldsが重複しています",
        "falsepositive_too_short" => "falsepositivesの項目が短すぎます",
        "scope_too_short" => "scopeの項目が短すぎます",
        "logsource_value_not_lowercase" => "logsourceの値が小文字ではありません",
        "condition_references_unknown" => "conditionが存在しないselectionを指しています",
        "deprecated_aggregation_syntax" => "古い集計の書き方です。相関ルールにしてください",
        "missing_correlation" => "correlationがありません",
        "missing_correlation_type" => "correlationにtypeがありません",
        "invalid_correlation_type" => "correlationのtypeの値が違います",
        "missing_correlation_rules" | "empty_correlation_rules" => "correlationにrulesがありません",
        "missing_correlation_timespan" => "correlationにtimespanがありません",
        "invalid_timespan_format" => "timespanの書き方が違います",
        "missing_group_by" => "group-byがありません",
        "missing_correlation_condition" => "correlationにconditionがありません",
        "missing_condition_field" => "correlationのconditionにfieldがありません",
        "invalid_condition_operator" => "correlationのconditionの演算子が違います",
        "condition_value_not_numeric" => "correlationのconditionの値が数値ではありません",
        "generate_not_boolean" => "generateはtrueかfalseです",
        "missing_filter" => "filterがありません",
        "missing_filter_rules" | "empty_filter_rules" => "filterにrulesがありません",
        "missing_filter_selection" => "filterにselectionがありません",
        "missing_filter_condition" => "filterにconditionがありません",
        "filter_has_level" => "フィルターにlevelは不要です",
        "filter_has_status" => "フィルターにstatusは不要です",
        "missing_filter_logsource" => "フィルターにlogsourceがありません",
        "null_in_value_list" => "値の並びにnullがあります",
        "single_value_all_modifier" => "値が1つのときallは意味がありません",
        "incompatible_modifiers" => "組み合わせられない修飾子です",
        "empty_value_list" => "値の並びが空です",
        "wildcard_only_value" => "値が * だけです。existsを使ってください",
        "unsupported_sigma_version" => "対応していないSigmaの版です",
        "unknown_key" => "知らないキーです。書き間違いかもしれません",
        _ => return None,
    })
}
