//! What names of tables and columns say: a vocabulary, and how a name is taken apart into its words.
//!
//! Words are those of shops in English and Chinese, and the commonest of a few other languages. A name that says
//! nothing costs a proposal, never a wrong figure: what a column *is* follows from its values, and whether a join
//! is safe from its keys.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::LazyLock;

/// Words that mean the same here, with blanks between them, the surest first.
pub(crate) type Words = &'static str;

pub(crate) const STORE: Words = "store shop branch outlet location site filiale magasin tienda \
    sucursal restaurant 门店 店铺 分店 商店 店 网点 門店";
/// What may stand for a store where there is none.
pub(crate) const PLACE: Words = "warehouse depot region area territory city province country \
    market channel seller vendor merchant dealer till register terminal 仓库 区域 地区 城市 省份 \
    国家 渠道 商户 商家 卖家";
pub(crate) const DATE: Words = "date day datum fecha time datetime timestamp ts dt at on epoch 日期 \
    时间 日 時間";
/// What happens when something is sold.
pub(crate) const SOLD: Words = "order ordered sale sold transaction trans purchase purchased placed \
    invoice bill billing business rental booked \
    receipt payment paid pay 下单 销售 交易 营业 订单 购买 成交";
/// What happens to a row and not to the shop, or later.
pub(crate) const OTHER_DATE: Words = "update updated modified changed deleted cancelled canceled \
    shipped ship shipping delivered delivery due required expected birth birthday expiry expire \
    expires valid import imported load loaded sync synced last return returned refunded hire hired \
    opened closed 更新 修改 发货 到货 收货 生日 过期 删除 退货 取消";
pub(crate) const CREATED: Words = "created create creation inserted recorded 创建 录入";
pub(crate) const CALENDAR: Words = "date day calendar time 日期 日历";
pub(crate) const PRODUCT: Words = "product item sku article artikel producto produit goods \
    merchandise menu dish film track plu 商品 产品 货品 品名 菜品 物料";
pub(crate) const CATEGORY: Words = "category department dept class group segment family genre \
    commodity brand 品类 类别 分类 类目 大类 品牌";
pub(crate) const CUSTOMER: Words = "customer client household member user buyer shopper kunde 顾客 \
    客户 会员 用户";
pub(crate) const ORDER: Words = "order basket invoice receipt ticket transaction bill check cart \
    booking payment rental bon bestellung pedido commande factura facture 订单 小票 单据 单 流水 \
    交易 票据 訂單";
/// A part of an order.
pub(crate) const LINE: Words = "line item detail entry position row seq sequence 明细 行 子单";
/// What makes a table one about orders and not of them: `payment_methods`.
pub(crate) const ABOUT: Words = "type method status mode kind reason term source channel setting 方式 \
    类型 状态 渠道";
/// What makes a column of orders one that counts them.
pub(crate) const COUNT: Words = "count cnt 数 笔数 单数 数量 次数";
/// Tables that hold what was sold.
pub(crate) const FACT: Words = "sale order line transaction receipt ticket invoice basket fact pos \
    purchase revenue umsatz venta vente bestellung 销售 订单 明细 流水 交易 小票 訂單";
/// Tables that hold something else.
pub(crate) const NOT_FACT: Words = "log audit history event session stock inventory snapshot budget \
    plan target forecast staging stg tmp temp bak backup old archive test employee staff shift price \
    pricelist migration queue job coupon campaign promotion customer product store supplier return \
    refund 日志 库存 预算 计划 目标 备份 员工 价格";
pub(crate) const ID: Words = "id no nr num number code key sk pk fk uuid guid ref 编号 代码 编码 号 \
    号码";
pub(crate) const NAME: Words = "name title label description desc descr bezeichnung nombre nom 名称 \
    名字 名 描述";
/// What a line took, the surest words first.
pub(crate) const AMOUNT: Words = "sale revenue turnover umsatz venta 销售额 营业额 销售金额 实付 \
    实收 收入 amount amt betrag importe montant total subtotal 金额 总额 总价 小计 net gross paid \
    extended value price";
/// What makes an amount one of something else.
pub(crate) const NO_AMOUNT: Words = "tax vat discount disc tip fee freight shipping delivery refund \
    cost profit margin balance limit target budget point 税 税额 折扣 优惠 运费 退款 成本 利润 积分 \
    unit list 单价 rate quantity qty weight payable stock number";
pub(crate) const PRICE: Words = "price unitprice preis precio prix 单价 售价 价格 价";
pub(crate) const QUANTITY: Words = "quantity qty unit piece pcs count menge cantidad bottle pack \
    case box volume sold 数量 件数 销量 份数 个数";
pub(crate) const COST: Words = "cost cogs einkauf coste 成本 进价 成本价 成本额 进货价";
/// What a cost may be of, and still that of what was sold.
pub(crate) const COST_OF: Words = "standard std average avg landed total goods of sold buying \
    purchase 总";
/// What makes a price or a cost that of one piece.
pub(crate) const UNIT: Words = "unit price list each per 单价 进价 成本价 进货价 单位";
pub(crate) const PROFIT: Words = "profit margin gewinn 利润 毛利 毛利额";
pub(crate) const DISCOUNT: Words = "discount disc rebate rabatt markdown coupon 折扣 优惠 折扣额 \
    优惠额 立减";
/// Money beside the sales.
pub(crate) const EXTRA: Words = "tax vat tip fee freight shipping delivery refund surcharge 税 税额 \
    运费 小费 服务费 退款";
pub(crate) const DURATION: Words = "duration minute second sec elapsed wait waiting lead \
    latency 时长 用时 耗时 分钟 等待";
/// Numbers that are no measures: adding them up says nothing.
pub(crate) const NEVER: Words = "latitude longitude lat lon lng year month week quarter hour zip \
    zipcode postal postcode phone fax age version rank rating score status type flag level percent \
    pct percentage ratio rate index seq sequence position sort 经度 纬度 年 月 周 季度 邮编 电话 \
    年龄 状态 类型 率 比例 评分";
pub(crate) const CURRENCY: Words = "currency 币种 货币";
pub(crate) const STATUS: Words = "status state cancelled canceled deleted void 状态 取消 作废";

/// All of it, to find the words of `storeid` and `门店编号`.
const KNOWN: [Words; 31] = [
    STORE, PLACE, DATE, SOLD, OTHER_DATE, CREATED, CALENDAR, PRODUCT, CATEGORY, CUSTOMER, ORDER,
    ABOUT, COUNT, LINE, FACT, ID, NAME, AMOUNT, NO_AMOUNT, PRICE, QUANTITY, COST, COST_OF, UNIT,
    PROFIT, DISCOUNT, EXTRA, DURATION, NEVER, CURRENCY, STATUS,
];

/// The lists that each word stands in.
static VOCABULARY: LazyLock<HashMap<String, Vec<Words>>> = LazyLock::new(|| {
    let mut vocabulary: HashMap<String, Vec<Words>> = HashMap::new();
    for words in KNOWN {
        for word in words.split_whitespace() {
            vocabulary.entry(singular(word)).or_default().push(words);
        }
    }
    vocabulary
});

thread_local! {
    /// Names that were taken apart: each is asked for again and again.
    static APART: RefCell<HashMap<String, Name>> = RefCell::default();
}

/// A name taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name(Rc<[String]>);

impl Name {
    /// The words of a name, in small letters and without the *s* of a plural.
    pub(crate) fn of(name: &str) -> Name {
        if let Some(known) = APART.with_borrow(|apart| apart.get(name).cloned()) {
            return known;
        }
        let new = Name::take_apart(name);
        APART.with_borrow_mut(|apart| apart.insert(name.to_owned(), new.clone()));
        new
    }

    /// The words of one name after those of another.
    pub(crate) fn then(&self, other: &Name) -> Name {
        Name([self.words(), other.words()].concat().into())
    }

    fn take_apart(name: &str) -> Name {
        let mut words: Vec<String> = Vec::new();
        let mut last = Class::Other;
        let chars: Vec<char> = name.chars().collect();
        for (at, c) in chars.iter().enumerate() {
            let class = Class::of(*c);
            // `orderID` and `IDOrder`, but neither `Orders` nor `ID`.
            let next_is_small = chars.get(at + 1).is_some_and(|next| next.is_lowercase());
            let goes_on = class == last && !(class == Class::Upper && next_is_small)
                || (last == Class::Upper && class == Class::Lower);
            match (class, words.last_mut()) {
                (Class::Other, _) => {}
                (_, Some(word)) if goes_on => word.extend(c.to_lowercase()),
                _ => words.push(c.to_lowercase().collect()),
            }
            last = class;
        }
        Name(words.iter().flat_map(|word| split(word)).collect())
    }

    /// Whether one of its words is one of these.
    pub(crate) fn says(&self, words: Words) -> bool {
        self.0.iter().any(|word| is_one(word, words))
    }

    /// Whether it says one of these, and nothing but what one of the others says.
    pub(crate) fn says_only(&self, words: Words, others: &[Words]) -> bool {
        let fits = |(at, word): (usize, &String)| {
            is_one(word, words)
                || others.iter().any(|others| is_one(word, others))
                // A number tells two of a kind apart, and no kind; a letter or two before the rest is the table's.
                || word.chars().all(char::is_numeric)
                || at == 0 && word.len() <= 2 && !VOCABULARY.contains_key(word)
        };
        self.says(words) && self.0.iter().enumerate().all(fits)
    }

    /// The place of the first of these words that it says.
    pub(crate) fn place(&self, words: Words) -> Option<usize> {
        if !self.says(words) {
            return None;
        }
        words.split_whitespace().position(|word| self.0.contains(&singular(word)))
    }

    /// Its words.
    pub(crate) fn words(&self) -> &[String] {
        &self.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Upper,
    Lower,
    Digit,
    /// A letter of a script without cases.
    Sign,
    Other,
}

impl Class {
    fn of(c: char) -> Class {
        match c {
            _ if c.is_uppercase() => Class::Upper,
            _ if c.is_lowercase() => Class::Lower,
            _ if c.is_numeric() => Class::Digit,
            _ if c.is_alphabetic() => Class::Sign,
            _ => Class::Other,
        }
    }
}

fn is_one(word: &str, words: Words) -> bool {
    VOCABULARY.get(word).is_some_and(|lists| lists.contains(&words))
}

/// An English word without the *s* of its plural.
fn singular(word: &str) -> String {
    let plain = |end: &str| word.strip_suffix(end).filter(|stem| stem.len() > 2);
    match (plain("ies"), plain("s")) {
        (Some(stem), _) => format!("{stem}y"),
        (None, Some(stem)) if !stem.ends_with(['s', 'u']) => {
            let es =
                stem.strip_suffix("xe").or(stem.strip_suffix("che")).or(stem.strip_suffix("sse"));
            es.map_or_else(|| stem.to_owned(), |_| stem.trim_end_matches('e').to_owned())
        }
        _ => word.to_owned(),
    }
}

/// A word that is written together in its parts: two known ones in a row, or signs that begin with a known word.
fn split(word: &str) -> Vec<String> {
    let known = |part: &str| VOCABULARY.contains_key(&singular(part));
    if known(word) {
        return vec![singular(word)];
    }
    if word.chars().all(char::is_alphanumeric) && word.is_ascii() {
        let two = (2..word.len().saturating_sub(1))
            .map(|at| word.split_at(at))
            .find(|(first, second)| known(first) && known(second));
        return match two {
            Some((first, second)) => vec![singular(first), singular(second)],
            None => vec![singular(word)],
        };
    }
    // The longest known word at each place; what is between them stands for itself.
    let (mut parts, mut between, mut rest) = (Vec::new(), String::new(), word);
    while let Some(first) = rest.chars().next() {
        let longest = rest
            .char_indices()
            .map(|(at, c)| &rest[..at + c.len_utf8()])
            .rfind(|part| !part.is_ascii() && VOCABULARY.contains_key(*part));
        match longest {
            Some(known) => {
                if !between.is_empty() {
                    parts.push(std::mem::take(&mut between));
                }
                parts.push(known.to_owned());
                rest = &rest[known.len()..];
            }
            None => {
                between.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    if !between.is_empty() {
        parts.push(between);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str) -> Vec<String> {
        Name::of(name).0.to_vec()
    }

    #[test]
    fn names_are_taken_apart() {
        for (name, expected) in [
            ("store_id", &["store", "id"][..]),
            ("StoreID", &["store", "id"]),
            ("storeId", &["store", "id"]),
            ("STOREID", &["store", "id"]),
            ("HTTPStatus", &["http", "status"]),
            ("Order Details", &["order", "detail"]),
            ("orderdate", &["order", "date"]),
            ("categories", &["category"]),
            ("branches", &["branch"]),
            ("boxes", &["box"]),
            ("address1", &["address", "1"]),
            ("candidate", &["candidate"]),
            ("门店ID", &["门店", "id"]),
            ("门店编号", &["门店", "编号"]),
            ("销售日期", &["销售", "日期"]),
            ("我的销售额", &["我的", "销售额"]),
            ("", &[]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    #[test]
    fn what_they_say() {
        assert!(Name::of("Shops").says(STORE) && !Name::of("restored").says(STORE));
        assert!(Name::of("store_no").says_only(STORE, &[ID]));
        assert!(Name::of("ss_store_sk").says_only(STORE, &[ID]));
        assert!(!Name::of("no_store").says_only(STORE, &[]));
        assert!(Name::of("store2_id").says_only(STORE, &[ID]));
        assert!(!Name::of("store_city").says_only(STORE, &[ID]));
        assert!(Name::of("sales_value").place(AMOUNT) < Name::of("amount").place(AMOUNT));
        assert_eq!(Name::of("week").place(AMOUNT), None);
    }
}
