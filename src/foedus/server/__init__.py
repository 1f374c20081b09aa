"""The platform: people, projects, runs and models in the browser and by a JSON API."""
