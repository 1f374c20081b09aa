"""A platform from afar: `Client` is the Python SDK for its JSON API, and what the commands `remote` stand on.

    from foedus import Client

    client = Client("https://foedus.example.org", token="fed_…")  # after `foedus login`: Client.signed_in()
    run = client.project("lungs").start_run({"rounds": 20, "algorithm": {"name": "fedavg"}})
    for event in run.watch():
        print(event.kind, event.round, event.client)
    next(run.models()).download("model.safetensors")

Needs neither the server's packages nor PyTorch.
"""
