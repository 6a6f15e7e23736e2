"""The services of two sagas, config/sagas/order.yaml and purchase.yaml: python3 orders.py, with ORCHESTRATUM_KEY set."""
from worker import Refused, serve

def process_payment(payment, stop):
    if payment["amount"] > 1000:
        raise Refused("the card was declined")
    return {"transaction_id": f"payment of {payment['order_id']}"}

def reserve_inventory(goods, stop):
    if "unicorn" in goods["items"]:
        raise Refused("unicorns are sold out")
    return {"reservation_id": f"shelf of {goods['order_id']}"}

def create_shipment(parcel, stop):
    if parcel["order_id"].startswith("far"):
        raise Refused("nobody goes there")
    return {"tracking_number": f"parcel of {parcel['order_id']}"}

def undo(done, stop):
    """Twice is no more than once, and what never happened is undone as well: a worker may have been lost before it began."""
    print("undone:", done, flush=True)

serve({
    "process_payment": process_payment, "refund_payment": undo,
    "reserve_inventory": reserve_inventory, "release_inventory": undo,
    "create_shipment": create_shipment, "cancel_shipment": undo,
}, targets=["billing", "warehouse", "shipping"])
