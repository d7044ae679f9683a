-- A small ERP, in the SQL that SQLite and PostgreSQL have in common. Money is counted in cents, exactly.

CREATE TABLE categories (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    margin_percent BIGINT NOT NULL CHECK (margin_percent BETWEEN 0 AND 100)
);

CREATE TABLE products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    category TEXT NOT NULL REFERENCES categories (code),
    price_cents BIGINT NOT NULL CHECK (price_cents >= 0),
    cost_cents BIGINT NOT NULL CHECK (cost_cents >= 0),
    active BOOLEAN NOT NULL
);

CREATE TABLE inventory (
    sku TEXT NOT NULL REFERENCES products (sku),
    warehouse TEXT NOT NULL,
    on_hand BIGINT NOT NULL CHECK (on_hand >= 0),
    reserved BIGINT NOT NULL CHECK (reserved BETWEEN 0 AND on_hand),
    PRIMARY KEY (sku, warehouse)
);

CREATE TABLE customers (
    number TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    email TEXT,
    credit_cents BIGINT NOT NULL,
    since DATE NOT NULL
);

CREATE TABLE orders (
    number TEXT PRIMARY KEY,
    customer TEXT NOT NULL REFERENCES customers (number),
    branch BIGINT NOT NULL,
    day DATE NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'paid', 'shipped', 'cancelled')),
    total_cents BIGINT NOT NULL
);

CREATE TABLE order_lines (
    order_number TEXT NOT NULL REFERENCES orders (number) ON DELETE CASCADE,
    line BIGINT NOT NULL,
    sku TEXT NOT NULL REFERENCES products (sku),
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    price_cents BIGINT NOT NULL,
    PRIMARY KEY (order_number, line)
);

CREATE TABLE quotes (
    number TEXT PRIMARY KEY,
    customer TEXT NOT NULL REFERENCES customers (number),
    sku TEXT NOT NULL REFERENCES products (sku),
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    price_cents BIGINT NOT NULL CHECK (price_cents >= 0),
    valid_until DATE NOT NULL
);

CREATE TABLE system_config (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    description TEXT NOT NULL
);

CREATE TABLE finance_reports (
    period TEXT PRIMARY KEY,
    revenue_cents BIGINT NOT NULL,
    cost_cents BIGINT NOT NULL,
    closed BOOLEAN NOT NULL,
    remarks TEXT
);

-- What the caches look for beside the primary keys.
CREATE INDEX orders_by_customer ON orders (customer, day);
CREATE INDEX orders_by_branch ON orders (branch, day);
