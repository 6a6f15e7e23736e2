"""What is calculated: JSON files in, one JSON value out. Nothing here knows of GitLab, Celery or queues."""

WATER_KJ_KG_K = 4.187


def condenser(files):
    """The heat that the exhaust steam gives up, and the cooling water that takes it away."""
    given = files["condenser_input.json"]
    heat_kw = given["steam_flow_kg_s"] * (given["steam_enthalpy_kj_kg"] - given["condensate_enthalpy_kj_kg"])
    warming_k = given["water_outlet_c"] - given["water_inlet_c"]
    return {"heat_kw": round(heat_kw, 3), "water_flow_kg_s": round(heat_kw / (WATER_KJ_KG_K * warming_k), 3)}


def heater(files):
    """The bleed steam that warms the feed water."""
    given = files["heater_input.json"]
    heat_kw = given["feed_water_flow_kg_s"] * WATER_KJ_KG_K * (given["outlet_c"] - given["inlet_c"])
    drop_kj_kg = given["bleed_enthalpy_kj_kg"] - given["drain_enthalpy_kj_kg"]
    return {"heat_kw": round(heat_kw, 3), "bleed_flow_kg_s": round(heat_kw / drop_kj_kg, 3)}


def balance(files):
    """What goes in is power, heat that is rejected, and losses."""
    given = files["balance_input.json"]
    supplied_kw, power_kw = given["boiler"]["heat_kw"], given["turbine"]["power_kw"]
    outputs = {name: content for name, content in files.items() if name.endswith("_output.json")}
    rejected_kw = outputs.get("condenser_output.json", {}).get("heat_kw", 0)
    return {
        "supplied_kw": supplied_kw,
        "power_kw": power_kw,
        "rejected_kw": rejected_kw,
        "losses_kw": round(supplied_kw - power_kw - rejected_kw, 3),
        "efficiency": round(power_kw / supplied_kw, 4),
        "parts": sorted(outputs),
    }


CALCULATIONS = {"balance.condenser": condenser, "balance.heater": heater, "balance.total": balance}
