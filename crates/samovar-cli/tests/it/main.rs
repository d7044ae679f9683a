//! The program as a user meets it: started, asked over HTTP and in a browser, stopped.

mod http;
mod life;
mod page;
mod server;
