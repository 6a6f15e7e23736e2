// The peer's half of the benchmark: an order of four durable steps that do nothing, as a workflow of Restate.
//
//     service.mjs PORT        serves it on loopback; the server calls it
//
// Each `run` is written into the journal, with what it returns, before the next one begins. What they return is what the tasks of
// the product's order return.

import * as http2 from "node:http2";
import * as restate from "@restatedev/restate-sdk";

const order = restate.workflow({
  name: "order",
  handlers: {
    run: async (context, input) => {
      const { order_id, items, total } = input;
      const payment = await context.run("process_payment", () => ({ transaction_id: order_id, amount: total }));
      const reservation = await context.run("reserve_inventory", () => ({ reservation_id: order_id, items }));
      const shipment = await context.run("create_shipment", () => ({ tracking_number: order_id }));
      await context.run("notify_customer", () => ({ order_id }));
      return { order_id, ...payment, ...reservation, ...shipment };
    },
  },
});

const [port] = process.argv.slice(2).map(Number);
http2.createServer(restate.createEndpointHandler({ services: [order] })).listen(port, "127.0.0.1");
