//! The product as its users run it: real processes on real servers.

mod balance;
mod celery;
mod client;
mod dev;
mod doctor;
mod end_to_end;
mod faults;
mod follow;
mod http_worker;
mod leftovers;
mod manual_clock;
mod secrets;
