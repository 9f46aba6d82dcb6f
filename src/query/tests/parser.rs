use proptest::prelude::*;

use super::*;
use crate::query::path::{Modifier, Root};
use crate::query::tree::{Op, Sign};

/// The tree as text with every group in parentheses.
fn shape(text: &str) -> String {
    fn show(filter: &Filter) -> String {
        let (members, join) = match filter {
            Filter::Compare(comparison) => return comparison.to_string(),
            Filter::All(members) => (members, " && "),
            Filter::Any(members) => (members, " || "),
        };
        format!("({})", members.iter().map(show).collect::<Vec<_>>().join(join))
    }
    show(&parse(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

#[test]
fn conjunctions_bind_tighter_than_disjunctions() {
    assert_eq!(shape("a=1||b=2&&c=3"), "(a = 1 || (b = 2 && c = 3))");
    assert_eq!(shape("(a=1||b=2)&&c=3"), "((a = 1 || b = 2) && c = 3)");
    assert_eq!(shape("a=1&&b=2||c=3&&d=4"), "((a = 1 && b = 2) || (c = 3 && d = 4))");
    assert_eq!(shape("((a=1))"), "a = 1");
}

#[test]
fn texts_that_parse() {
    let cases = [
        ("title='Hello'", "title = 'Hello'"),
        ("title=\"it's\"", r"title = 'it\'s'"),
        (r"a='x\n\t\\\'\d'", "a = 'x\n\t\\\\\\'\\\\d'"),
        ("n>=-2.50", "n >= -2.5"),
        ("n=007", "n = 7"),
        ("tags.name?!~'x'", "tags.name ?!~ 'x'"),
        ("a=1// comment || b=2\n&&c=3", "(a = 1 && c = 3)"),
        ("// first\n a\t= 1 //", "a = 1"),
        ("'//'='//'", "'//' = '//'"),
        ("a = ')' && (b = '(')", "(a = ')' && b = '(')"),
        ("null=NULL", "null = NULL"),
        ("created < @now", "created < @now"),
        ("strftime('%Y', at, 'utc') = '2024'", "strftime('%Y', at, 'utc') = '2024'"),
        ("strftime('%Y')='2024'", "strftime('%Y') = '2024'"),
        ("geoDistance( loc.lon ,loc.lat, 1 , // x\n-2.5)<1", "geoDistance(loc.lon, loc.lat, 1, -2.5) < 1"),
        ("@request.auth.team.name:lower != ''", "@request.auth.team.name:lower != ''"),
        ("@collection.people:a.name ?= 'x'", "@collection.people:a.name ?= 'x'"),
        ("@request.method='GET'&&@request.context='batch'", "(@request.method = 'GET' && @request.context = 'batch')"),
        ("meta.a.0='é'", "meta.a.0 = 'é'"),
    ];
    for (text, expected) in cases {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn texts_that_do_not_parse() {
    let cases = [
        "",
        "  \n",
        "// only a comment",
        "active",
        "()",
        "(",
        ")",
        "a=1)",
        "(a=1",
        "a=",
        "=1",
        "a=1 b=2",
        "a=1 &&",
        "&& a=1",
        "a=1 & b=2",
        "a=1 &&& b=2",
        "a=1 and b=2",
        "a==1",
        "a<>1",
        "a!==1",
        "a=?1",
        "a?1",
        "a=1=2",
        "n=.5",
        "n=1.",
        "n=1e1",
        "n=+1",
        "n=-",
        "n=1.2.3",
        "a='x",
        "a=\"x'",
        "a='x\\'",
        "@='x'",
        "_=1",
        "#=1",
        "a.=1",
        "a:=1",
        "#a=1",
        "a..b=1",
        "a:foo=1",
        "a:lower:each=1",
        "a:lower.b=1",
        "@nope=1",
        "@request=1",
        "@request.foo.x=1",
        "@request.auth=1",
        "@request.method.x=1",
        "@request.method:lower=1",
        "@collection.x=1",
        "@collection.x:.y=1",
        "foo(1)=1",
        "geoDistance(1,2,3)=1",
        "geoDistance(1,2,3,'4')=1",
        "geoDistance(1,2,3,4,5)=1",
        "geoDistance()=1",
        "geoDistance(1,2,3,strftime('%Y'))=1",
        "strftime()=1",
        "strftime(at,'%Y')=1",
        "strftime('%Y',at,x)=1",
        "strftime('%Y',at,1)=1",
        "strftime('a','b','c','d','e','f','g','h','i','j','k')=1",
        "strftime('%Y',)=1",
        "strftime ('%Y')=1",
        "strftime('%Y'=1",
        "strftime(,'%Y')=1",
        "a,b=1",
        "a=1,",
        "a=1;",
        "a/b=1",
        "a=1 / b",
        "a\r=1",
        "é=1",
        "a=$1",
        "a=\0",
    ];
    for text in cases {
        assert!(parse(text).is_err(), "{text:?} was accepted as {:?}", parse(text));
    }
}

#[test]
fn errors_name_the_operand() {
    let error = parse("a = 1 && @nope = 2").unwrap_err().to_string();
    assert_eq!(error, r#"invalid left operand "@nope" - failed to resolve field "@nope""#);
    let error = parse("a = b:foo").unwrap_err().to_string();
    assert_eq!(error, r#"invalid right operand "b:foo" - unknown modifier in "b:foo""#);
}

#[test]
fn size_and_depth_are_bounded() {
    let terms = |count| vec!["a=1"; count].join("&&");
    assert!(parse(&terms(MAX_COMPARISONS)).is_ok());
    assert!(parse(&terms(MAX_COMPARISONS + 1)).is_err());
    assert!(parse(&terms(10_000)).is_err());
    let nested = |depth| format!("{}a=1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert!(parse(&nested(MAX_DEPTH + 1)).is_err());
    assert!(parse(&nested(1_000_000)).is_err());
    assert!(parse(&"(".repeat(1_000_000)).is_err());
    // Side by side is not within.
    assert!(parse(&vec!["(a=1)"; MAX_DEPTH + 1].join("||")).is_ok());
}

fn operand() -> impl Strategy<Value = Operand> {
    let word = "[a-zA-Z][a-zA-Z0-9_]{0,5}".prop_map(|word| word.into_boxed_str());
    let root = prop_oneof![
        4 => Just(Root::Record),
        1 => Just(Root::Auth),
        1 => Just(Root::Body),
        1 => Just(Root::Query),
        1 => Just(Root::Headers),
        1 => (word.clone(), proptest::option::of(word.clone()))
            .prop_map(|(name, alias)| Root::Cross { name, alias }),
    ];
    let modifier = proptest::option::weighted(
        0.2,
        proptest::sample::select(vec![
            Modifier::Length,
            Modifier::Each,
            Modifier::Lower,
            Modifier::IsSet,
            Modifier::Changed,
        ]),
    );
    let path = (root, proptest::collection::vec(word, 1..4), modifier)
        .prop_map(|(root, parts, modifier)| Operand::Path(Path { root, parts, modifier }));
    let text = any::<String>().prop_map(|text| text.into_boxed_str());
    let simple = prop_oneof![
        path,
        Just(Operand::Macro(Macro::Now)),
        Just(Operand::Path(Path { root: Root::Method, parts: Vec::new(), modifier: None })),
        any::<f64>().prop_filter("numbers of the language", |n| n.is_finite()).prop_map(Operand::Number),
    ];
    let time = proptest::option::of((simple.clone(), proptest::collection::vec(text.clone(), 0..3)));
    prop_oneof![
        6 => simple.clone(),
        3 => text.clone().prop_map(Operand::Text),
        1 => [simple.clone(), simple.clone(), simple.clone(), simple].prop_map(|four| Operand::GeoDistance(Box::new(four))),
        1 => (text, time).prop_map(|(format, time)| {
            let (time, modifiers) = time.map_or((None, Vec::new()), |(time, modifiers)| (Some(time), modifiers));
            Operand::Strftime(Box::new(Strftime { format, time, modifiers }))
        }),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let ops = vec![
        Op::Equal,
        Op::NotEqual,
        Op::Greater,
        Op::GreaterOrEqual,
        Op::Less,
        Op::LessOrEqual,
        Op::Like,
        Op::NotLike,
    ];
    let sign = (proptest::sample::select(ops), any::<bool>()).prop_map(|(op, any)| Sign { op, any });
    let compare =
        (operand(), sign, operand()).prop_map(|(left, sign, right)| Filter::Compare(Comparison { left, sign, right }));
    compare.prop_recursive(4, 24, 4, |inner| {
        // A conjunction within a disjunction needs no parentheses, so both spellings are one tree already.
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Filter::All),
            proptest::collection::vec(inner, 2..4).prop_map(Filter::Any),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_tree_parses_to_itself(tree in filter()) {
        let text = tree.to_string();
        prop_assert_eq!(parse(&text).map_err(|error| format!("{error}: {text}")), Ok(tree));
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_the_alphabet_panics(text in r#"[a-z0-9@#_.:,()'"\\=!<>~?&|/ \n-]{0,40}"#) {
        if let Ok(tree) = parse(&text) {
            prop_assert_eq!(parse(&tree.to_string()).ok(), Some(tree));
        }
    }
}
