"""The EC2 adapter: the only place that knows boto3."""
